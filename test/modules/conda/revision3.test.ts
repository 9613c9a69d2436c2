import { describe, expect, test } from "bun:test";

import { isRevision3, revision3Record } from "../../../src/modules/conda/revision3.ts";
import { entryOf } from "./entries.ts";

const recordOf = (fields: Record<string, unknown>): string => entryOf({ name: "a", ...fields }).record;

describe("a record", () => {
  test.each<[string, Record<string, unknown>]>([
    ["says so", { schema_version: 3 }],
    ["says more", { schema_version: 4 }],
    ["says so as rattler does", { repodata_revision: 3 }],
    ["has optional groups", { extra_depends: { test: ["b"] } }],
    ["has flags", { flags: ["cuda"] }],
    ["depends under a condition", { depends: ["b", 'c >=2[when="python>=3.10"]'] }],
    ["depends on a group", { depends: ["b[version=1, extras=[x]]"] }],
    ["depends on a flag", { depends: ["b[flags=[cuda]]"] }],
    ["constrains under a condition", { constrains: ["b[ when = __unix ]"] }],
  ])("that %s is of revision 3", (_, fields) => expect(isRevision3(recordOf(fields))).toBe(true));

  test.each<[string, Record<string, unknown>]>([
    ["plain", {}],
    ["of the schema before", { schema_version: 2 }],
    ["with a schema that is no number", { schema_version: "x" }],
    ["without any group", { extra_depends: {} }],
    ["without any flag", { flags: [] }],
    ["with specs in brackets", { depends: ["b[version='>=1',build=py*]"] }],
    ["that depends on words", { depends: ["when >=1", "extras 1.0", "flags"], constrains: ["when=1"] }],
    ["that speaks of these words", { license: "see flags[when=x]", description: "schema_version" }],
  ])("%s is not of revision 3", (_, fields) => expect(isRevision3(recordOf(fields))).toBe(false));
});

describe("revision 3 specs", () => {
  test.each([
    ["b", "b"],
    ["b *", "b"],
    ["b * *", "b"],
    ["b[version=*]", "b"],
    ["b 1.0", 'b[version="==1.0"]'],
    ["b ==1.0", 'b[version="==1.0"]'],
    ["b=1.0", 'b[version="=1.0"]'],
    ["b 1.0.*", 'b[version="1.0.*"]'],
    ["b >=1.0, <2 py*", 'b[version=">=1.0,<2",build="py*"]'],
    ["b=1.0=py_0", 'b[version="==1.0",build="py_0"]'],
    ["b 1|2", 'b[version="1|2"]'],
    ['b >=2[when="python>=3.10"]', 'b[version=">=2",when="python>=3.10"]'],
    [`b[when='python[version=">=3"]']`, `b[when='python[version=">=3"]']`],
    ["b[extras=[x, y],build_number=0]", "b[extras=[x, y],build_number=0]"],
    ["b 1[version=2,name=c]", 'b[version="==2"]'],
    ["forge::b 1", "forge::b 1"],
    ["b* 1", "b* 1"],
    ["b 1[md5=0123]", "b 1[md5=0123]"],
    ["b[", "b["],
    [`b[when="a\\\\b"]`, `b[when="a\\\\b"]`],
  ])("turn %s into %s", (spec, expected) => {
    const record = recordOf({ depends: [spec], constrains: [spec], extra_depends: { x: [spec] } });
    expect(JSON.parse(revision3Record(record))).toEqual({
      ...JSON.parse(record),
      depends: [expected],
      constrains: [expected],
      extra_depends: { x: [expected] },
    });
    expect(revision3Record(revision3Record(record))).toBe(revision3Record(record));
  });

  test("change nothing else of a record, and its form stays canonical", () => {
    const record = '{"__proto__":{"z":1},"depends":["b 1"],"extra_depends":{"__proto__":["c 1"]},"name":"a"}';
    expect(revision3Record(record)).toBe(
      '{"__proto__":{"z":1},"depends":["b[version=\\"==1\\"]"],' +
        '"extra_depends":{"__proto__":["c[version=\\"==1\\"]"]},"name":"a"}',
    );
  });
});
