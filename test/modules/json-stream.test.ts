import { describe, expect, test } from "bun:test";
import { readMembers } from "../../src/modules/json-stream.ts";

const isMap = (path: readonly string[]): boolean => ["packages", "v3", "v3/conda"].includes(path.join("/"));

function membersOf(text: string, chunkBytes: number): [string, unknown][] {
  const bytes = Buffer.from(text);
  const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, at) =>
    bytes.subarray(at * chunkBytes, (at + 1) * chunkBytes),
  );
  return [...readMembers(chunks, isMap)].map(({ path, value }) => [path.join("/"), value]);
}

describe("members of a large object", () => {
  const text = `{"info":{"subdir":"noarch"} , "packages":{"a":{"x":[1,{"y":"]}\\"é"}]},"b":"text","c":-1.5e3},
    "empty":{},"v3":{"conda":{"d":null},"other":[]},"removed":["a","b"],"version":1 }`;

  test.each([1, 2, 3, 7, 1000])("arrive in order from chunks of %d bytes", (chunkBytes) => {
    expect(membersOf(text, chunkBytes)).toEqual([
      ["info", { subdir: "noarch" }],
      ["packages/a", { x: [1, { y: ']}"é' }] }],
      ["packages/b", "text"],
      ["packages/c", -1500],
      ["empty", {}],
      ["v3/conda/d", null],
      ["v3/other", []],
      ["removed", ["a", "b"]],
      ["version", 1],
    ]);
  });

  test("are none for an empty object", () => {
    expect(membersOf('{"packages":{}}', 4)).toEqual([]);
  });

  test.each([
    ["[1]", "not an object"],
    ['{"a":1', "missing"],
    ['{"a":1}}', "data follows"],
    ['{"a":1 "b":2}', "missing"],
    ['{"a":{"b":1}', "missing"],
    ['{"a":tru}', ""],
    ['{"a":"b', ""],
    ['{"packages":{"a":1,}}', "key"],
    ["{1:2}", "key"],
    ["", "not an object"],
  ])("are refused from %j", (broken, why) => {
    for (const chunkBytes of [1, 100]) {
      expect(() => membersOf(broken, chunkBytes)).toThrow(SyntaxError);
      expect(() => membersOf(broken, chunkBytes)).toThrow(why);
    }
  });
});
