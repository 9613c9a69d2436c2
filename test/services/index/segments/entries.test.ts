import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { REPODATA, RUN_EXPORTS } from "../../../../src/services/conda/documents/layouts.ts";
import { entriesIn } from "../../../../src/services/index/segments/entries.ts";

const [packages, , laterConda, laterTar] = REPODATA.groups;
const [exported] = RUN_EXPORTS.groups;

test("entries split as they were joined, whatever their values contain", () => {
  if (!packages) throw new Error("there is no such group");
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), { maxLength: 8 }), (values) => {
      const entries = values.map((value, at) => {
        const fileName = `some-name-1.${at}-h0_0.tar.bz2`;
        return { packageName: "some-name", fileName, text: `${JSON.stringify(fileName)}:${JSON.stringify(value)}` };
      });
      expect(entriesIn(entries.map(({ text }) => text).join(","), packages)).toEqual(entries);
    }),
    { numRuns: 500 },
  );
});

test("keys of revision 3 identify the file with its extension", () => {
  const names = [laterConda, laterTar, packages, exported].map(
    (group) => group && entriesIn('"a-1-0":{"x":"}, \\"b-1-0\\":{"}', group)[0]?.fileName,
  );
  expect(names).toEqual(["a-1-0.conda", "a-1-0.tar.bz2", "a-1-0", "a-1-0"]);
});
