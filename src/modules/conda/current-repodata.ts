// `current_repodata.json`: which files of a subdir are in it. The newest of every name, and what those need in turn.
// https://conda.org/learn/ceps/cep-0036

import { CURRENT_LIMITS, isSummary, NO_VERSION, SPEC_CHARACTERS, type Build, type Summary } from "./current-summary.ts";
import { compareText } from "./file-name.ts";
import { buildMatcher, costOf, parseMatchSpec, splitMatchSpec } from "./match-spec.ts";
import { matchesVersion } from "./version-spec.ts";
import { parseVersion, type Version } from "./version.ts";

export { createNameSummary } from "./current-summary.ts";

/** What is kept of names. */
export type Summaries = {
  all(): Iterable<string>;
  of(name: string): string | undefined;
};

/** The file names, sorted; undefined past one of the limits. */
export type Choice = readonly string[] | undefined;

/**
 * For each dependency and each constraint of a chosen file the newest files that satisfy it are chosen too, so that none
 * of them lacks what the subdir has. Yields the work done so far, every millisecond or so. Where it ends is counted and
 * never timed: the same files give the same choice.
 */
export function* chooseInSteps(summaries: Summaries): Generator<number, Choice, undefined> {
  const meter = createMeter();
  const [chosen, wishes] = [new Set<string>(), createWishes(meter)];
  for (const text of summaries.all()) {
    const summary = readSummary(text, meter);
    yield* choose({ summary, chosen, wishes, meter }, () => true);
    if (meter.isTooMuch()) return undefined;
  }
  for (let wish = wishes.next(); wish; wish = wishes.next()) {
    const text = summaries.of(wish.name);
    if (text === undefined) continue;
    const summary = readSummary(text, meter);
    const versions = createVersions();
    for (const spec of wish.specs) {
      const isMeant = wantedBy(spec, versions, meter);
      if (isMeant) yield* choose({ summary, chosen, wishes, meter }, isMeant);
      if (meter.isTooMuch()) return undefined;
    }
  }
  return [...chosen].sort(compareText);
}

type Choosing = {
  readonly summary: Summary;
  readonly chosen: Set<string>;
  readonly wishes: Wishes;
  readonly meter: Meter;
};

/** The newest builds of those that are meant, and what they ask for. */
function* choose(
  { summary: { builds, specs }, chosen, wishes, meter }: Choosing,
  isMeant: (build: Build) => boolean,
): Generator<number, void, undefined> {
  let newest: number | undefined;
  for (const build of builds) {
    const [rank, fileName, , , , places] = build;
    if (newest !== undefined && rank > newest) return;
    meter.spend(1);
    if (meter.isDue()) yield meter.work();
    if (meter.isTooMuch()) return;
    if ((newest !== undefined && chosen.has(fileName)) || !isMeant(build)) continue;
    newest = rank;
    if (chosen.has(fileName)) continue;
    chosen.add(fileName);
    if (chosen.size > CURRENT_LIMITS.files) meter.refuse();
    for (const place of places) {
      wishes.ask(specs[place] ?? "");
      if (meter.isDue()) yield meter.work();
    }
  }
}

/** Undefined for a spec that no reader makes sense of. */
function wantedBy(
  text: string,
  versions: (text: string) => Version,
  meter: Meter,
): ((build: Build) => boolean) | undefined {
  meter.spend(SPEC_CHARACTERS + text.length);
  const spec = parseMatchSpec(text);
  if (spec === undefined) return undefined;
  const cost = costOf(spec);
  const isBuild = buildMatcher(spec);
  // Many builds have the same few versions.
  const known = new Map<string, boolean>();
  return ([, , version, build, buildNumber]) => {
    let isVersion = known.get(version);
    if (isVersion === undefined) {
      meter.spend(cost.version);
      isVersion = spec.version === undefined || matchesVersion(spec.version, versions(version), version);
      known.set(version, isVersion);
    }
    if (!isVersion) return false;
    meter.spend(cost.build);
    return isBuild(build, buildNumber);
  };
}

type Wishes = {
  /** The text of a spec. */
  ask(spec: string): void;
  /** What has been asked for, each once. A name that is asked for once more comes up again at the end. */
  next(): { readonly name: string; readonly specs: readonly string[] } | undefined;
};

function createWishes(meter: Meter): Wishes {
  const asked = new Set<string>();
  // By name, as the summaries of a large channel are not all held at once.
  const open = new Map<string, string[]>();
  let characters = 0;
  return {
    ask: (text) => {
      meter.spend(ASKED_AGAIN);
      if (asked.has(text)) return;
      const cost = SPEC_CHARACTERS + text.length;
      meter.spend(cost);
      characters += cost;
      if (text.length > CURRENT_LIMITS.spec || characters > CURRENT_LIMITS.specs) return meter.refuse();
      asked.add(text);
      const { name } = splitMatchSpec(text) ?? {};
      if (name === undefined) return;
      const others = open.get(name);
      if (others) others.push(text);
      else open.set(name, [text]);
    },
    next: () => {
      for (const [name, specs] of open) {
        open.delete(name);
        return { name, specs };
      }
      return undefined;
    },
  };
}

/** Counts units of work. */
type Meter = {
  spend(units: number): void;
  /** There is more than may be, of whatever it is. */
  refuse(): void;
  isTooMuch(): boolean;
  /** Whether the last time was long ago. */
  isDue(): boolean;
  work(): number;
};

/** Units between two looks at the clock. */
const STEP = 4000;
const ASKED_AGAIN = 0.25;
/** Of a summary, that are read in the time of a unit. */
const CHARACTERS = 16;

function createMeter(): Meter {
  let [work, last] = [0, 0];
  return {
    spend: (units) => void (work += units),
    refuse: () => void (work = Number.POSITIVE_INFINITY),
    isTooMuch: () => work > CURRENT_LIMITS.work,
    isDue: () => {
      if (work - last < STEP) return false;
      last = work;
      return true;
    },
    work: () => work,
  };
}

function readSummary(text: string, meter: Meter): Summary {
  meter.spend(text.length / CHARACTERS);
  const summary: unknown = JSON.parse(text);
  if (!isSummary(summary)) throw new Error("what is kept of a name is no summary");
  if (summary.isTooLarge === true) meter.refuse();
  return summary;
}

function createVersions(): (text: string) => Version {
  const known = new Map<string, Version>();
  return (text) => {
    const version = known.get(text) ?? parseVersion(text) ?? NO_VERSION;
    known.set(text, version);
    return version;
  };
}
