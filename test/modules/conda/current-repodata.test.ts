import { describe, expect, setDefaultTimeout, test } from "bun:test";
import * as fc from "fast-check";

import { chooseInSteps, createNameSummary, type Summaries } from "../../../src/modules/conda/current-repodata.ts";
import { CURRENT_LIMITS } from "../../../src/modules/conda/current-summary.ts";
import { parseMatchSpec } from "../../../src/modules/conda/match-spec.ts";
import type { RepodataEntry } from "../../../src/modules/conda/repodata.ts";
import { parseVersion } from "../../../src/modules/conda/version.ts";
import { entryOf } from "./entries.ts";
import { matchesSpec } from "./matches-spec.ts";

setDefaultTimeout(60_000);

type Given = Parameters<typeof entryOf>[0];

/** `a 1.0 py_0 2` is a name, a version, a build and a build number. */
function release(text: string, fields: Omit<Given, "name"> = {}, format: "conda" | "tar.bz2" = "conda"): RepodataEntry {
  const [name = "", version = "", build = "0", buildNumber = "0"] = text.split(" ");
  return entryOf({ name, version, build, build_number: Number(buildNumber), ...fields }, { format });
}

function choose(entries: readonly RepodataEntry[]): readonly string[] {
  const steps = chooseInSteps(summariesOf(entries));
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value ?? ["too much"];
  }
}

/** The summary of files in memory. */
function summarizeName(files: readonly RepodataEntry[]): string | undefined {
  const summary = createNameSummary();
  for (const file of files) summary.add(file);
  return summary.text();
}

function summariesOf(entries: readonly RepodataEntry[]): Summaries {
  const byName = Map.groupBy(entries, ({ record }) => String(JSON.parse(record).name));
  const summaries = new Map([...byName].map(([name, files]) => [name, summarizeName(files)]));
  return {
    all: () => [...summaries.values()].filter((summary) => summary !== undefined),
    of: (name) => summaries.get(name),
  };
}

const needs = (...depends: string[]): { depends: string[] } => ({ depends });

describe("the newest files of a name in current_repodata.json", () => {
  test("are its greatest version, in every build of the greatest build number and in both formats", () => {
    const chosen = choose([
      release("a 1.9 py38_5 5"),
      release("a 1.10 py38_0 0"),
      release("a 1.10 py38_1 1"),
      release("a 1.10 py39_1 1", {}, "tar.bz2"),
      release("a 1.10.0 py310_1 1"),
      release("a 1.10 py39_1 1"),
    ]);
    expect(chosen).toEqual([
      "a-1.10-py38_1.conda",
      "a-1.10-py39_1.conda",
      "a-1.10-py39_1.tar.bz2",
      "a-1.10.0-py310_1.conda",
    ]);
  });

  test("include none of revision 3, which solvers that read this document cannot parse", () => {
    expect(choose([release("a 2", { schema_version: 3 }), release("a 1")])).toEqual(["a-1-0.conda"]);
    expect(choose([release("a 1", { extra_depends: { x: ["b"] } })])).toEqual([]);
    expect(summarizeName([])).toBeUndefined();
  });
});

describe("the dependencies added to current_repodata.json", () => {
  const OLD_B = [release("b 3"), release("b 2.1 py_0 0"), release("b 2.1 py_1 1"), release("b 1")];

  test.each([
    ["are none when the newest file satisfies the spec", needs("b >=2"), []],
    ["are the newest files that satisfy the spec", needs("b <3"), ["b-2.1-py_1.conda"]],
    ["have the requested build", needs("b 2.* py_0"), ["b-2.1-py_0.conda"]],
    ["can be several versions", needs("b <3", "b <2"), ["b-1-0.conda", "b-2.1-py_1.conda"]],
    ["are none for specs that no file satisfies", needs("b >4", "c", "__glibc >=2.17"), []],
    ["are none for specs that cannot be parsed", needs("b ^1$", "b <<2", "[", "", "b[version=1", "*"), []],
    ["include the newest files within constrains", { constrains: ["b <2"] }, ["b-1-0.conda"]],
    ["are none when the lists are missing", { depends: null, constrains: [1] }, []],
  ])("%s", (_, fields, expected) => {
    const entries = [release("a 1", fields), release("a 0.5", needs("b 2.1 py_0")), ...OLD_B];
    expect(choose(entries)).toEqual(["a-1-0.conda", ...expected, "b-3-0.conda"]);
  });

  test("bring their own dependencies", () => {
    const entries = [
      release("a 1", needs("b <2")),
      release("b 2"),
      release("b 1", needs("c 1.*", "a")),
      release("c 3"),
      release("c 1.5", needs("c <1.5")),
      release("c 1.0", needs("constructor <1")),

      release("constructor 1"),
      release("constructor 0.1"),
      release("constructor 0.0.1"),
      release("d 2"),
      release("d 1"),
    ];
    expect(choose(entries)).toEqual([
      "a-1-0.conda",
      "b-1-0.conda",
      "b-2-0.conda",
      "c-1.0-0.conda",
      "c-1.5-0.conda",
      "c-3-0.conda",
      "constructor-0.1-0.conda",
      "constructor-1-0.conda",
      "d-2-0.conda",
    ]);
  });
});

describe("current_repodata.json of a random channel", () => {
  const NAMES = ["a", "b", "constructor", "123"];
  const name = fc.constantFrom(...NAMES);
  const version = fc.constantFrom("0.9", "1", "1.0", "1.5", "2", "3");
  const spec = fc
    .tuple(name, fc.constantFrom("<", ">=", "", "!="), version, fc.constantFrom("", "", " *_0", " py*"))
    .map(([to, operator, at, build]) => `${to} ${operator}${at}${build}`);
  const entries = fc
    .array(fc.tuple(name, version, fc.constantFrom("py", "r"), fc.nat(1), fc.array(spec, { maxLength: 3 })), {
      maxLength: 30,
    })
    .map((rows) =>
      rows.map(([of, at, build, number, depends]) => release(`${of} ${at} ${build}_${number} ${number}`, { depends })),
    )
    .map((all) => [...new Map(all.map((entry) => [entry.fileName, entry])).values()]);

  test("satisfies each dependency of its files that any file of the channel satisfies", () => {
    let added = 0;
    fc.assert(
      fc.property(entries, (all) => {
        const chosen = new Set(choose(all));
        const kept = all.filter(({ fileName }) => chosen.has(fileName));
        const newest = choose(all.map(withoutNeeds));
        expect(kept).toHaveLength(chosen.size);
        expect(newest.filter((fileName) => !chosen.has(fileName))).toEqual([]);
        added += chosen.size - newest.length;
        const needed = kept.flatMap(dependsOf).filter((text) => isSatisfied(text, all));
        expect(needed.filter((text) => !isSatisfied(text, kept))).toEqual([]);
      }),
    );
    expect(added).toBeGreaterThan(20);
  });

  test("does not depend on the order of files and names", () => {
    fc.assert(
      fc.property(entries, fc.infiniteStream(fc.nat()), (all, numbers) => {
        const shuffled = all
          .map((entry) => ({ entry, at: numbers.next().value }))
          .sort((x, y) => x.at - y.at)
          .map(({ entry }) => entry);
        expect(choose(shuffled)).toEqual(choose(all));
        expect(summarizeName(shuffled.filter(isOfA))).toBe(summarizeName(all.filter(isOfA)));
      }),
    );
  });
});

function isOfA({ fileName }: RepodataEntry): boolean {
  return fileName.startsWith("a-");
}

function dependsOf({ record }: RepodataEntry): string[] {
  return JSON.parse(record).depends;
}

function isSatisfied(text: string, entries: readonly RepodataEntry[]): boolean {
  const spec = parseMatchSpec(text);
  return entries.some(({ record }) => {
    const { name, version, build, build_number: buildNumber } = JSON.parse(record);
    const parsedVersion = parseVersion(version);
    if (spec === undefined || parsedVersion === undefined) throw new Error(`${text} or ${version} cannot be read`);
    return spec.name === name && matchesSpec(spec, { version, parsedVersion, build, buildNumber });
  });
}

function withoutNeeds(entry: RepodataEntry): RepodataEntry {
  return { ...entry, record: JSON.stringify({ ...JSON.parse(entry.record), depends: [] }) };
}

describe("current_repodata.json", () => {
  const alternatives = (count: number, from = 0): string =>
    Array.from({ length: count }, (_, at) => `==9.${from + at}`).join("|");
  const versions = (count: number): RepodataEntry[] => Array.from({ length: count }, (_, at) => release(`x 1.${at}`));

  test.each<[string, RepodataEntry[]]>([
    ["a spec with very many alternatives", [release("a 1", needs(`x ${"1|".repeat(CURRENT_LIMITS.spec / 2)}1`))]],
    [
      "many specs with many alternatives, each a little longer",
      Array.from({ length: 30 }, (_, at) =>
        release(
          `d${at} 1`,
          needs(...Array.from({ length: 40 }, (__, one) => `x ${alternatives(800, 1000 * (at * 40 + one))}`)),
        ),
      ),
    ],
    [
      "many versions for many alternatives",
      [
        ...versions(2000),
        release("a 1", needs(...Array.from({ length: 60 }, (_, at) => `x ${alternatives(400, 1000 * at)}`))),
      ],
    ],
    [
      "a name with very many bytes of specs",
      Array.from({ length: 450 }, (_, at) => release(`x 1.${at}`, needs(`a ${at}${" ".repeat(10_000)}`))),
    ],
  ])("is refused as too much work for %s", (_, entries) => {
    // Seconds at most; without a bound some take minutes.
    expect(choose(entries)).toEqual(["too much"]);
  });

  test("is refused by the amount of work, not by the elapsed time: a channel just below the bound has its document", () => {
    const entries = [...versions(200), release("a 1", needs(`x ${alternatives(800)}|1.3`))];
    expect(choose(entries)).toEqual(["a-1-0.conda", "x-1.199-0.conda", "x-1.3-0.conda"]);
  });

  test("is built despite long patterns that are compared with many versions", () => {
    const patterns = Array.from({ length: 100 }, (_, at) => `x 1${"*1".repeat(3500)}${at} ${"a*".repeat(200)}b`);
    expect(choose([...versions(2000), release("a 1", needs(...patterns))])).toEqual([
      "a-1-0.conda",
      "x-1.1999-0.conda",
    ]);
  });

  test("is built in many short steps", () => {
    const entries = [
      ...versions(1000),
      release("a 1", needs(...Array.from({ length: 20 }, (_, at) => `x ${alternatives(400, 1000 * at)}`))),
    ];
    const steps = chooseInSteps(summariesOf(entries));
    const work: number[] = [0];
    for (let step = steps.next(); step.done !== true; step = steps.next()) work.push(step.value);
    const longest = Math.max(...work.slice(1).map((units, at) => units - (work[at] ?? 0)));
    expect(work.length).toBeGreaterThan(100);
    expect(longest).toBeLessThan(30_000);
  });
});
