import { describe, expect, test } from "bun:test";
import { PackageRecord } from "@conda-org/rattler";
import * as fc from "fast-check";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { identify, readIndex, type IndexJson } from "../../../../src/modules/conda/info/index.ts";
import { canonicalRecord } from "../../../../src/modules/conda/record.ts";
import { namedRows } from "../../../support/case-name.ts";

const GOOD = {
  build: "h1_3",
  build_number: 3,
  depends: ["python >=3.8"],
  name: "a-b",
  subdir: "linux-64",
  timestamp: 1_700_000_000_000,
  version: "1.0",
};

type Read = { index: IndexJson | undefined; findings: Finding[] };

/** Keys set to undefined are left out; a text is the complete file. */
function read(changes: object | string, now?: number): Read {
  const text = typeof changes === "string" ? changes : JSON.stringify({ ...GOOD, ...changes });
  return readBytes(new TextEncoder().encode(text), now);
}

function readBytes(bytes: Uint8Array, now?: number): Read {
  const findings = createFindings();
  const index = readIndex(bytes, findings, now === undefined ? { jsonDepth: 32 } : { jsonDepth: 32, now });
  return { index, findings: findings.list() };
}

const rulesOf = ({ findings }: Read): string[] => findings.map(({ level, rule }) => `${level} ${rule}`);

test("index.json of a good package gives no finding and is unchanged", () => {
  const { index, findings } = read({});
  expect(findings).toEqual([]);
  expect(canonicalRecord(index ?? {})).toBe(JSON.stringify(GOOD));
});

test("index.json keeps unknown keys, and no prototype", () => {
  const text = JSON.stringify(GOOD).replace("{", '{"__proto__":{"polluted":1},"constructor":[null],"app":{"x":1},');
  const { index, findings } = read(text);
  expect(findings).toEqual([]);
  expect(Object.keys(index ?? {})).toContain("__proto__");
  expect(Object.getPrototypeOf(index)).toBeNull();
  expect(Reflect.get({}, "polluted")).toBeUndefined();
  expect(canonicalRecord(index ?? {})).toContain('"__proto__":{"polluted":1},"app":{"x":1},"build":"h1_3"');
});

describe("index.json", () => {
  const refused: [what: string, changes: object | string, rule: string][] = [
    ["a name that is missing", { name: undefined }, "index-name"],
    ["a name in capitals", { name: "NumPy" }, "index-name"],
    ["a name with a path", { name: "../a" }, "index-name"],
    ["a name in full width", { name: "ａ" }, "index-name"],
    ["a name with the Kelvin sign", { name: "\u212a" }, "index-name"],
    ["a virtual name", { name: "__cuda" }, "index-name"],
    ["a name of a million characters", { name: "a".repeat(1_000_000) }, "json-limit"],
    ["a name that is null", { name: null }, "index-name"],
    ["a version with a hyphen", { version: "1.0-1" }, "index-version"],
    ["a version that is a number", { version: 1.1 }, "index-version"],
    ["a version in capitals", { version: "1.0RC1" }, "index-version"],
    ["a version that no client can order", { version: "1..0" }, "index-version"],
    ["a version with a number past 2^53", { version: "1.9007199254740992" }, "index-version"],
    ["a build with a hyphen", { build: "a-b" }, "index-build"],
    ["a build that is a number", { build: 0 }, "index-build"],
    ["a build that is empty", { build: "" }, "index-build"],
    ["a build number below 0", { build_number: -1 }, "index-build-number"],
    ["a build number with a fraction", { build_number: 1.5 }, "index-build-number"],
    ["a build number that is text", { build_number: "1" }, "index-build-number"],
    [
      "a build number past 2^53",
      JSON.stringify(GOOD).replace('"build_number":3', '"build_number":1152921504606846976'),
      "json-number",
    ],
    ["depends as text", { depends: "python" }, "index-depends"],
    ["depends with a number", { depends: [1] }, "index-depends"],
    ["depends with a list", { depends: [["python"]] }, "index-depends"],
    ["depends with null", { depends: [null] }, "index-depends"],
    ["depends with a line break", { depends: ["python\n>=3"] }, "index-depends"],
    ["depends with nothing in it", { depends: [" "] }, "index-depends"],
    ["1,001 depends", { depends: Array.from({ length: 1001 }, () => "a") }, "index-depends"],
    ["a dependency of 10 KB", { depends: ["a".repeat(10_000)] }, "json-limit"],
    ["constrains as a table", { constrains: {} }, "index-constrains"],
    ["a timestamp below 0", { timestamp: -1 }, "index-timestamp"],
    ["a timestamp with a fraction", { timestamp: 1700000000.5 }, "index-timestamp"],
    ["a timestamp that is text", { timestamp: "2020-01-01" }, "index-timestamp"],
    ["a timestamp in the year 10,000", { timestamp: 253_402_300_800_000 }, "index-timestamp"],
    ["noarch as 1", { noarch: 1 }, "index-noarch"],
    ["noarch as x", { noarch: "x" }, "index-noarch"],
    ["a license that is a list", { license: ["MIT"] }, "index-license"],
    ["a subdir that is a path", { subdir: "../../x" }, "index-subdir"],
    ["a subdir with a path", { subdir: "linux-64/../noarch" }, "index-subdir"],
    ["a subdir that is empty", { subdir: "" }, "index-subdir"],
    ["a subdir in capitals", { subdir: "NOARCH" }, "index-subdir"],
    ["a subdir that is a number", { subdir: 64 }, "index-subdir"],
    ["track_features as a number", { track_features: 1 }, "index-track-features"],
    ["preferred_env as a number", { preferred_env: 1 }, "index-preferred-env"],
    ["features as a list", { features: ["x"] }, "index-features"],
    ["a hash that is none", { legacy_bz2_md5: "x" }, "index-legacy-bz2-md5"],
    ["a package URL that is none", { purls: ["javascript:x"] }, "index-purls"],
    [
      "a site-packages path that leads out",
      { python_site_packages_path: "lib/../../x" },
      "index-python-site-packages-path",
    ],
    ["an absolute one", { python_site_packages_path: "/etc" }, "index-python-site-packages-path"],
    ["one of Windows", { python_site_packages_path: "C:\\x" }, "index-python-site-packages-path"],
    ["extra_depends as a list", { extra_depends: ["x"] }, "index-extra-depends"],
    ["a list", "[]", "index-shape"],
    ["null", "null", "index-shape"],
    ["nothing", "", "json-syntax"],
    ["a name given twice", JSON.stringify(GOOD).replace("{", '{"name":"b",'), "json-duplicate-key"],
    ["NaN", '{"name":NaN}', "json-number"],
    ["1e999 in any key", JSON.stringify(GOOD).replace("{", '{"x":1e999,'), "json-number"],
    ["U+0000 in any key", JSON.stringify({ ...GOOD, x: "\0" }), "json-encoding"],
    ["half a surrogate pair", JSON.stringify({ ...GOOD, x: "\ud800" }), "json-encoding"],
    ["33 levels", JSON.stringify(GOOD).replace("{", `{"x":${"[".repeat(32)}${"]".repeat(32)},`), "json-depth"],
    ["1,001 keys", Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`k${i}`, 1])), "json-limit"],
  ];

  test.each(refused)("is refused for %s", (_, changes, rule) => {
    const result = read(changes);
    expect(result.index).toBeUndefined();
    expect(rulesOf(result)).toEqual([`refused ${rule}`]);
    for (const finding of result.findings) {
      expect(finding.path).toStartWith("info/index.json");
      expect(finding.message).not.toBe("");
      expect(finding.fix).not.toBe("");
    }
  });

  test("is refused for bytes that are no UTF-8", () => {
    const bytes = new TextEncoder().encode(JSON.stringify(GOOD));
    bytes[bytes.indexOf("h".charCodeAt(0))] = 0xff;
    expect(rulesOf(readBytes(bytes))).toEqual(["refused json-encoding"]);
  });

  test("is refused with all problems at once", () => {
    expect(rulesOf(read({ name: "A", version: 1, depends: "x", subdir: "?" }))).toEqual([
      "refused index-name",
      "refused index-version",
      "refused index-depends",
      "refused index-subdir",
    ]);
  });
});

describe("index.json", () => {
  const warned: [what: string, changes: object, rule: string, kept: object][] = [
    ["no build number", { build_number: undefined }, "index-build-number", { build_number: 0 }],
    ["a build number of null", { build_number: null }, "index-build-number", { build_number: 0 }],
    ["no depends", { depends: undefined }, "index-depends", { depends: [] }],
    ["depends of null", { depends: null }, "index-depends", { depends: [] }],
    ["noarch as true", { noarch: true }, "index-noarch", { noarch: "generic" }],
    ["a number that is large for 32 bits", { version: "1.2147483648" }, "index-version", { version: "1.2147483648" }],
    ["no subdir but noarch", { subdir: undefined, noarch: "python" }, "index-subdir", { subdir: "noarch" }],
    ["a subdir of null", { subdir: null, platform: "linux", arch: "x86_64" }, "index-subdir", { subdir: "linux-64" }],
    ["no subdir on 32 bits", { subdir: undefined, platform: "win", arch: "x86" }, "index-subdir", { subdir: "win-32" }],
    [
      "no subdir on arm64",
      { subdir: undefined, platform: "osx", arch: "arm64" },
      "index-subdir",
      { subdir: "osx-arm64" },
    ],
    [
      "no subdir but the arch noarch",
      { subdir: undefined, platform: null, arch: "noarch" },
      "index-subdir",
      { subdir: "noarch" },
    ],
  ];

  test.each(warned)("is accepted with a warning for %s", (_, changes, rule, kept) => {
    const result = read(changes);
    expect(rulesOf(result)).toEqual([`warning ${rule}`]);
    expect(JSON.parse(canonicalRecord(result.index ?? {}))).toMatchObject(kept);
  });

  test.each([{}, { platform: "linux" }, { platform: null, arch: null }, { platform: "..", arch: "/x" }])(
    "is accepted with a warning for no subdir when nothing implies it: %j",
    (changes) => {
      const result = read({ ...changes, subdir: undefined });
      expect(rulesOf(result)).toEqual(["warning index-subdir"]);
      expect(canonicalRecord(result.index ?? {})).not.toContain("subdir");
    },
  );

  test("is accepted with a warning for a timestamp in the future", () => {
    const now = 1_700_000_000_000;
    expect(rulesOf(read({ timestamp: now }, now))).toEqual([]);
    expect(rulesOf(read({ timestamp: now + 1 }, now))).toEqual(["warning index-timestamp"]);
    expect(rulesOf(read({ timestamp: now / 1000 }, now))).toEqual([]);
    expect(rulesOf(read({ timestamp: now / 1000 + 1 }, now))).toEqual(["warning index-timestamp"]);
    expect(rulesOf(read({ timestamp: now * 2 }))).toEqual([]);
  });
});

describe("index.json", () => {
  test.each(
    namedRows<[changes: object, text: string]>([
      [{ track_features: "a b" }, '"track_features":"a b"'],
      [{ track_features: ["a", "b"] }, '"track_features":["a","b"]'],
      [{ license: null, arch: null, platform: null }, '"license":null'],
      [{ noarch: "python" }, '"noarch":"python"'],
      [{ subdir: "weird-1" }, '"subdir":"weird-1"'],
      [{ timestamp: 0 }, '"timestamp":0'],
      [{ timestamp: 1_500_000_000 }, '"timestamp":1500000000'],
      [{ constrains: ["a <2", "b[version='>=1']"] }, '"constrains":["a <2","b[version=\'>=1\']"]'],
      [{ depends: ["a*".repeat(2000)] }, '"depends":["a*a*'],
      [{ depends: Array.from({ length: 1000 }, () => "a") }, '"depends":["a","a"'],
      [{ python_site_packages_path: "lib/python3.13t/site-packages" }, '"lib/python3.13t/site-packages"'],
      [{ purls: ["pkg:pypi/requests@2.0"] }, '"pkg:pypi/requests@2.0"'],
      [{ extra_depends: { test: ["pytest"] } }, '{"test":["pytest"]}'],
    ]),
  )("is accepted without a finding with %s", (_, changes, text) => {
    const { index, findings } = read(changes);
    expect(findings).toEqual([]);
    expect(canonicalRecord(index ?? {})).toContain(text);
  });

  test.each([
    { constrains: null },
    { track_features: null },
    { features: null },
    { noarch: null },
    { noarch: false },
    { noarch: "" },
    { timestamp: null },
    { legacy_bz2_size: null },
  ])("is accepted without %j, which breaks some client", (changes) => {
    const { index, findings } = read({ timestamp: undefined, ...changes });
    expect(findings).toEqual([]);
    for (const key of Object.keys(changes)) expect(canonicalRecord(index ?? {})).not.toContain(`"${key}"`);
  });

  test.each(["constructor", "valueof", "123", "t"])("is accepted for a package named %s", (name) => {
    expect(read({ name }).index?.name).toBe(name);
  });
});

function identityOf(changes: object): unknown {
  const { index } = read(changes);
  return index === undefined ? undefined : identify(index, "conda", createFindings());
}

describe("the identity in index.json", () => {
  test("is built from the metadata", () => {
    expect(identityOf({})).toEqual({
      name: "a-b",
      version: "1.0",
      build: "h1_3",
      buildNumber: 3,
      subdir: "linux-64",
      fileName: "a-b-1.0-h1_3.conda",
      timestamp: 1_700_000_000_000,
    });
  });

  test("has a derived subdir, or none", () => {
    expect(identityOf({ subdir: null, noarch: "generic" })).toMatchObject({ subdir: "noarch" });
    expect(identityOf({ subdir: null })).toMatchObject({ subdir: undefined });
  });

  test("counts time in milliseconds", () => {
    expect(identityOf({ timestamp: 1_500_000_000 })).toMatchObject({ timestamp: 1_500_000_000_000 });
    expect(identityOf({ timestamp: 253_402_300_799 })).toMatchObject({ timestamp: 253_402_300_799_000 });
    expect(identityOf({ timestamp: 253_402_300_800 })).toMatchObject({ timestamp: 253_402_300_800 });
    expect(identityOf({ timestamp: undefined })).toMatchObject({ timestamp: 0 });
  });

  test("is refused when the file name would not lead back to it", () => {
    const findings = createFindings();
    const index = { name: "a", version: "1-2", build: "0", build_number: 0, depends: [] };
    expect(identify(index, "conda", findings)).toBeUndefined();
    expect(findings.refused).toBe(true);
  });
});

test("index.json that rattler cannot read as a record is never accepted", () => {
  const odd = fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    1,
    -1,
    1.5,
    "",
    "x",
    "1.0",
    "python",
    "noarch",
    [],
    ["x"],
    [1],
    [null],
    {},
    { a: 1 },
    { a: ["b"] },
  );
  const keys = [
    "arch",
    "build",
    "build_number",
    "constrains",
    "depends",
    "extra_depends",
    "features",
    "flags",
    "legacy_bz2_md5",
    "legacy_bz2_size",
  ];
  keys.push(
    "license",
    "license_family",
    "name",
    "noarch",
    "platform",
    "purls",
    "python_site_packages_path",
    "timestamp",
    "track_features",
    "version",
  );
  let accepted = 0;
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...keys), odd, { maxKeys: 3 }), (changes) => {
      const { index } = read(changes);
      if (index === undefined) return;
      accepted++;
      using record = new PackageRecord(JSON.parse(canonicalRecord(index)));
      expect(String(record.name)).toBe(index.name);
    }),
    { numRuns: 3000 },
  );
  expect(accepted).toBeGreaterThan(100);
});
