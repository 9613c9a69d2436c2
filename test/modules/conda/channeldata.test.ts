import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import type { PackageMetadata } from "../../../src/modules/conda/archive.ts";
import {
  channeldataText,
  createChanneldataName,
  type ChanneldataFile,
} from "../../../src/modules/conda/channeldata.ts";

type Given = { name?: string; version?: string; build?: number; timestamp?: number; subdir?: string; license?: string };

function file(given: Given, metadata: Partial<PackageMetadata> = {}): ChanneldataFile {
  const { name = "a", version = "1.0", build = 0, subdir = "noarch", ...rest } = given;
  return {
    fileName: `${name}-${version}-${build}.conda`,
    subdir,
    record: JSON.stringify({ ...rest, build: String(build), build_number: build, name, subdir, version }),
    metadata: { about: {}, runExports: {}, flags: [], ...metadata },
  };
}

type Document = {
  readonly channeldata_version: number;
  readonly subdirs: readonly string[];
  readonly packages: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};

/** The document's entry of one name. */
function channeldataEntry(files: readonly ChanneldataFile[]): string | undefined {
  const name = createChanneldataName();
  for (const one of files) name.add(one);
  return name.text();
}

function composeChanneldata(files: readonly ChanneldataFile[]): string {
  const byName = Map.groupBy(files, ({ record }) => String(JSON.parse(record).name));
  const entries = [...byName].map(([name, ofName]) => ({ name, text: channeldataEntry(ofName) ?? "{}" }));
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [...channeldataText(entries, new Set(files.map(({ subdir }) => subdir)))].join("");
}

function compose(files: ChanneldataFile[]): Document {
  return JSON.parse(composeChanneldata(files));
}

const NO_FLAGS = {
  "activate.d": false,
  binary_prefix: false,
  "deactivate.d": false,
  post_link: false,
  pre_link: false,
  pre_unlink: false,
  text_prefix: false,
};

test("channeldata of an empty channel lists noarch", () => {
  expect(composeChanneldata([])).toBe('{"channeldata_version":1,"packages":{},"subdirs":["noarch"]}');
});

test("channeldata describes a name by its greatest version, whatever the publish order", () => {
  const old = file(
    { version: "1.9", build: 9, timestamp: 2_000_000_000_999, subdir: "linux-64" },
    { about: { summary: "old" } },
  );
  const newest = file(
    { version: "1.10", timestamp: 1_000_000_000_000, license: "MIT" },
    { about: { summary: "new", home: "h" }, flags: ["post-link"] },
  );
  for (const files of [
    [old, newest],
    [newest, old],
  ]) {
    expect(compose(files)).toEqual({
      channeldata_version: 1,
      subdirs: ["linux-64", "noarch"],
      packages: {
        a: {
          ...NO_FLAGS,
          post_link: true,
          home: "h",
          license: "MIT",
          summary: "new",
          run_exports: {},
          subdirs: ["linux-64", "noarch"],
          timestamp: 2_000_000_000,
          version: "1.10",
        },
      },
    });
  }
});

test.each([
  ["build number", { build: 9 }, { build: 10 }],
  [
    "timestamp",
    { build: 1, timestamp: 1_000_000_000_000, subdir: "win-64" },
    { build: 1, timestamp: 1_000_000_000_001, subdir: "osx-64" },
  ],
  [
    "timestamp in seconds",
    { timestamp: 1_000_000_000_000, subdir: "win-64" },
    { timestamp: 1_000_000_001, subdir: "osx-64" },
  ],
])("channeldata takes the greater %s of one version", (_, lesser, greater) => {
  const files = [file(greater, { about: { summary: "greater" } }), file(lesser, { about: { summary: "lesser" } })];
  expect(compose(files).packages.a?.summary).toBe("greater");
  expect(compose(files.toReversed()).packages.a?.summary).toBe("greater");
});

test("channeldata has the run exports of each version that exports something", () => {
  const files = [
    file({ version: "1" }, { runExports: { weak: ["a >=1"] } }),
    file({ version: "2" }),
    file({ version: "3" }, { runExports: { strong: ["a >=3"] } }),
  ];
  expect(compose(files).packages.a?.run_exports).toEqual({ "1": { weak: ["a >=1"] }, "3": { strong: ["a >=3"] } });
});

test("channeldata keeps text values as text and omits other values", () => {
  const about = { home: ["h1", "h2"], dev_url: 5, doc_url: [], summary: null, license: "L", source_url: ["s1", "s2"] };
  const { packages } = compose([file({}, { about })]);
  expect(packages.a).toMatchObject({ home: "h1", license: "L", source_url: ["s1", "s2"] });
  for (const key of ["dev_url", "doc_url", "summary"]) expect(packages.a).not.toHaveProperty(key);
});

test("channeldata translates every flag", () => {
  const flags = [
    "activate",
    "binary-prefix",
    "deactivate",
    "post-link",
    "pre-link",
    "pre-unlink",
    "text-prefix",
    "no-payload",
  ];
  const entry = compose([file({}, { flags })]).packages.a;
  for (const key of Object.keys(NO_FLAGS)) expect(entry?.[key]).toBe(true);
});

test("channeldata is the same for any order of the files, for any names", () => {
  const files = ["constructor", "123", "toString", "a"].flatMap((name) =>
    ["1.0", "1.0.0", "2"].flatMap((version) =>
      ["noarch", "linux-64"].map((subdir) => file({ name, version, subdir }, { about: { summary: version + subdir } })),
    ),
  );
  const expected = composeChanneldata(files);
  expect(Object.keys(JSON.parse(expected).packages).sort()).toEqual(["123", "a", "constructor", "toString"]);
  fc.assert(
    fc.property(fc.shuffledSubarray(files, { minLength: files.length }), (shuffled) => {
      expect(composeChanneldata(shuffled)).toBe(expected);
    }),
  );
});

test("channeldata equals the join of one entry for each name", () => {
  const names = ["123", "__proto__", "a-b", "a.b", "b", "constructor"];
  const filesOf = (name: string): ChanneldataFile[] => [
    file({ name, version: "1", subdir: "linux-64" }, { about: { summary: name }, runExports: { weak: [name] } }),
    file({ name, version: "2" }),
  ];
  const entries = names.map((name) => ({ name, text: channeldataEntry(filesOf(name)) ?? "" }));
  const expected = composeChanneldata(names.toReversed().flatMap(filesOf));
  expect([...channeldataText(entries, ["noarch", "linux-64"])].join("")).toBe(expected);
  expect([...channeldataText(entries, ["linux-64", "linux-64"])].join("")).toBe(expected);
  expect([...channeldataText([], [])].join("")).toBe(composeChanneldata([]));
});

test("channeldata has no entry for a name without files", () => {
  expect(channeldataEntry([])).toBeUndefined();
});

describe("of the files of a name, channeldata", () => {
  const flagged = (given: Given, ...flags: string[]): ChanneldataFile => file(given, { flags });

  test("has the flags of every file of the newest version, and of no other version", () => {
    const files = [
      flagged({ version: "2", build: 0, subdir: "linux-64" }, "activate", "binary-prefix"),
      flagged({ version: "2.0", build: 1, subdir: "win-64" }, "deactivate"),
      flagged({ version: "2", build: 2, timestamp: 2_000_000_000_000 }),
      flagged({ version: "1", build: 9, timestamp: 2_000_000_000_000 }, "pre-link", "text-prefix"),
    ];
    const expected = { ...NO_FLAGS, "activate.d": true, "deactivate.d": true, binary_prefix: true };
    for (const order of [files, files.toReversed()]) expect(compose(order).packages.a).toMatchObject(expected);
  });

  test("has the run exports of the newest file of a version that has some", () => {
    const files = [
      file({ version: "1", build: 1, subdir: "linux-64" }, { runExports: { weak: ["old"] } }),
      file({ version: "1", build: 2, subdir: "linux-64" }, { runExports: { weak: ["new"] } }),
      file({ version: "1", build: 3, subdir: "win-64" }),
    ];
    for (const order of [files, files.toReversed()])
      expect(compose(order).packages.a?.run_exports).toEqual({ "1": { weak: ["new"] } });
  });

  test("says what a search through all of them says", () => {
    const FLAG_NAMES = [
      ["activate", "activate.d"],
      ["deactivate", "deactivate.d"],
      ["pre-link", "pre_link"],
      ["post-link", "post_link"],
      ["pre-unlink", "pre_unlink"],
      ["binary-prefix", "binary_prefix"],
      ["text-prefix", "text_prefix"],
    ] as const;
    const one = fc.record({
      version: fc.integer({ min: 1, max: 12 }),
      build: fc.integer({ min: 0, max: 4 }),
      subdir: fc.constantFrom("noarch", "linux-64", "win-64"),
      flags: fc.subarray(FLAG_NAMES.map(([stored]) => stored as string)),
      exports: fc.option(fc.constantFrom("x", "y"), { nil: undefined }),
    });
    const unique = {
      selector: (f: { version: number; build: number; subdir: string }) => `${f.version} ${f.build} ${f.subdir}`,
    };
    fc.assert(
      fc.property(fc.uniqueArray(one, { ...unique, minLength: 1, maxLength: 8 }), (files) => {
        const entry = compose(
          files.map(({ version, build, subdir, flags, exports }) =>
            file(
              { version: String(version), build, subdir },
              { flags, runExports: exports === undefined ? {} : { weak: [exports] } },
            ),
          ),
        ).packages.a;
        const newest = Math.max(...files.map(({ version }) => version));
        const ofNewest = files.filter(({ version }) => version === newest);
        for (const [stored, shown] of FLAG_NAMES)
          expect(entry?.[shown]).toBe(ofNewest.some(({ flags }) => flags.includes(stored)));
        const exporting = Map.groupBy(
          files.filter(({ exports }) => exports !== undefined),
          ({ version }) => String(version),
        );
        const shown = Object(entry?.run_exports);
        expect(Object.keys(shown).sort()).toEqual([...exporting.keys()].sort());
        for (const [version, some] of exporting) {
          const last = Math.max(...some.map(({ build }) => build));
          const texts = some.filter(({ build }) => build === last).map(({ exports }) => exports);
          expect(texts).toContain(shown[version].weak[0]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
