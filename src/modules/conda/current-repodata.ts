// Chooses the files of `current_repodata.json`: the newest of every name, and the newest that satisfy their specs.
// https://conda.org/learn/ceps/cep-0036

import { CURRENT_LIMITS, isSummary, NO_VERSION, SPEC_CHARACTERS, type Build, type Summary } from "./current-summary.ts";
import { compareText } from "./file-name.ts";
import { buildMatcher, costOf, parseMatchSpec, splitMatchSpec } from "./match-spec.ts";
import { matchesVersion } from "./version-spec.ts";
import { parseVersion, type Version } from "./version.ts";

export { createNameSummary } from "./current-summary.ts";

/** The stored summaries of a subdir. */
export type Summaries = {
  all(): Iterable<string>;
  of(name: string): string | undefined;
};

/** The file names, sorted; undefined when a limit is exceeded. */
export type Choice = readonly string[] | undefined;

/**
 * For each dependency and constraint of a chosen file, also chooses the newest files that satisfy it, so that no chosen
 * file misses a dependency that the subdir has. Yields the work done so far about every millisecond. The limit counts
 * work, not time: the same files give the same choice.
 */
export function* chooseInSteps(summaries: Summaries): Generator<number, Choice, undefined> {
  const meter = createMeter();
  const [chosen, pending] = [new Set<string>(), createPendingSpecs(meter)];
  for (const text of summaries.all()) {
    const summary = readSummary(text, meter);
    yield* choose({ summary, chosen, pending, meter }, () => true);
    if (meter.isExhausted()) return undefined;
  }
  for (let next = pending.next(); next; next = pending.next()) {
    const text = summaries.of(next.name);
    if (text === undefined) continue;
    const summary = readSummary(text, meter);
    const versions = createVersions();
    for (const spec of next.specs) {
      const matches = matcherOf(spec, versions, meter);
      if (matches) yield* choose({ summary, chosen, pending, meter }, matches);
      if (meter.isExhausted()) return undefined;
    }
  }
  return [...chosen].sort(compareText);
}

type Choosing = {
  readonly summary: Summary;
  readonly chosen: Set<string>;
  readonly pending: PendingSpecs;
  readonly meter: Meter;
};

/** Chooses the newest matching builds and queues their specs. */
function* choose(
  { summary: { builds, specs }, chosen, pending, meter }: Choosing,
  matches: (build: Build) => boolean,
): Generator<number, void, undefined> {
  let newest: number | undefined;
  for (const build of builds) {
    const [rank, fileName, , , , specIndexes] = build;
    if (newest !== undefined && rank > newest) return;
    meter.spend(1);
    if (meter.isDue()) yield meter.work();
    if (meter.isExhausted()) return;
    if ((newest !== undefined && chosen.has(fileName)) || !matches(build)) continue;
    newest = rank;
    if (chosen.has(fileName)) continue;
    chosen.add(fileName);
    if (chosen.size > CURRENT_LIMITS.files) meter.refuse();
    for (const index of specIndexes) {
      pending.add(specs[index] ?? "");
      if (meter.isDue()) yield meter.work();
    }
  }
}

/** Undefined for a spec that cannot be parsed. */
function matcherOf(
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

type PendingSpecs = {
  /** Queues the text of a spec, unless it was queued before. */
  add(spec: string): void;
  /** Removes and returns the first name with its specs. New specs of a returned name put it at the end again. */
  next(): { readonly name: string; readonly specs: readonly string[] } | undefined;
};

function createPendingSpecs(meter: Meter): PendingSpecs {
  const queued = new Set<string>();
  // Grouped by name: memory does not hold all summaries of a large channel at once.
  const open = new Map<string, string[]>();
  let characters = 0;
  return {
    add: (text) => {
      meter.spend(REPEATED_SPEC);
      if (queued.has(text)) return;
      const cost = SPEC_CHARACTERS + text.length;
      meter.spend(cost);
      characters += cost;
      if (text.length > CURRENT_LIMITS.spec || characters > CURRENT_LIMITS.specs) return meter.refuse();
      queued.add(text);
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
  /** Ends the choice: a limit other than work is exceeded. */
  refuse(): void;
  isExhausted(): boolean;
  /** Whether at least `STEP` units were spent since the last time it was true. */
  isDue(): boolean;
  work(): number;
};

/** Units of work between two yields. */
const STEP = 4000;
/** Units for a spec that may be queued already. */
const REPEATED_SPEC = 0.25;
/** Characters of a summary that are parsed in one unit. */
const CHARACTERS = 16;

function createMeter(): Meter {
  let [work, last] = [0, 0];
  return {
    spend: (units) => void (work += units),
    refuse: () => void (work = Number.POSITIVE_INFINITY),
    isExhausted: () => work > CURRENT_LIMITS.work,
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
  if (!isSummary(summary)) throw new Error("the stored summary of a name is invalid");
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
