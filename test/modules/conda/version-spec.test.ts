import { describe, expect, test } from "bun:test";
import { Version as RattlerVersion, VersionSpec as RattlerSpec } from "@conda-org/rattler";
import * as fc from "fast-check";

import { matchesVersion, parseVersionSpec } from "../../../src/modules/conda/version-spec.ts";
import { parseVersion } from "../../../src/modules/conda/version.ts";
import { named } from "../../support/case-name.ts";

function matches(spec: string, text: string): boolean | undefined {
  const parsed = parseVersionSpec(spec);
  const version = parseVersion(text);
  if (version === undefined) throw new Error(`${text} is no version`);
  return parsed && matchesVersion(parsed, version, text);
}

describe("a version spec", () => {
  test.each([
    ["*", ["1", "1!0.dev"], []],
    ["1.8", ["1.8", "1.8.0"], ["1.8.1", "1.8+a"]],
    ["==1.8", ["1.8", "1.8.0"], ["1.8.1"]],
    ["==1.8.*", ["1.8", "1.8.1"], ["1.9"]],
    ["=1.8", ["1.8", "1.8.5", "1.8+a"], ["1.80", "1.9", "1.8rc1"]],
    ["1.8.*", ["1.8", "1.8.5"], ["1.80", "1"]],
    ["1.8*", ["1.8.5"], ["1.80"]],
    ["1.0.*", ["1", "1.0.3"], ["1.1"]],
    ["1+a.*", ["1+a.b"], ["1", "1+b", "1.1+a"]],
    ["!=1.8", ["1.8.1"], ["1.8", "1.8.0"]],
    ["!=1.8.*", ["1.9"], ["1.8.1"]],
    [">=1.8,<2", ["1.8", "1.10"], ["1.7", "2", "2.1"]],
    ["<1|>2", ["0.9", "3"], ["1", "1.5", "2"]],
    [">1,<2|>3,<4", ["1.5", "3.5"], ["2.5", "1", "4"]],
    ["(>1|<0.5),<2", ["1.5", "0.1"], ["0.7", "3"]],
    ["~=1.8.2", ["1.8.2", "1.8.9"], ["1.8.1", "1.9"]],
    ["~=1.8", ["1.9"], ["1.7", "2"]],
    [">=1.8.*", ["1.8", "2"], ["1.7"]],
    [">1.8.*", ["1.8", "1.8.1"], ["1.7"]],
    ["<1.8.*", ["1.7"], ["1.8"]],
    ["1.*.3", ["1.2.3", "1.9.9.3"], ["1.2.4", "2.2.3"]],
    ["*.3", ["1.3"], ["3"]],
    [" >= 1 , < 2 ", ["1.5"], ["2"]],
    ["1!2.*", ["1!2.3"], ["2.3"]],
    ["1.2-3", ["1.2_3"], ["1.2"]],
    ["=V1.A", ["v1.a"], ["v1.b"]],
  ])("%s matches %p and not %p", (spec, taken, left) => {
    expect(taken.filter((version) => matches(spec, version) !== true)).toEqual([]);
    expect(left.filter((version) => matches(spec, version) !== false)).toEqual([]);
  });

  test.each(
    named([
      "",
      " ",
      ",",
      "|1",
      "1,",
      "1||2",
      ">",
      "=",
      "1 2",
      "(1",
      "1)",
      "()",
      "1()",
      "1.",
      "1..2",
      ">>1",
      "=>1",
      "===1",
      "!=*",
      ">1.*.2",
      "^1.*$",
      "^(a+)+$",
      "1;2",
      "é",
      "1.2@3",
      "9007199254740992",
      "(".repeat(4000),
      `${"(".repeat(40)}1${")".repeat(40)}`,
    ]),
  )("is not %s", (_, text) => expect(parseVersionSpec(text)).toBeUndefined());

  test.each([
    ["stars", `1${"*".repeat(4000)}x`],
    ["spaces", `1${" ".repeat(4000)}^`],
    ["globs", `1${".*a".repeat(1300)}`],
    ["clauses", `${"1|".repeat(2000)}^`],
    ["operators", "=".repeat(4000)],
  ])("is parsed no slower for a hostile number of %s", (_, text) => {
    const started = performance.now();
    const spec = parseVersionSpec(text);
    const version = parseVersion("1");
    if (spec && version) matchesVersion(spec, version, "1.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.b");
    expect(performance.now() - started).toBeLessThan(50);
  });
});

describe("version specs compared with rattler", () => {
  const number = fc.constantFrom("0", "1", "2", "3", "10");
  const suffix = fc.constantFrom("", "", "", "a", "rc1", "dev", "post1");
  const segment = fc.tuple(number, suffix).map((parts) => parts.join(""));
  const version = fc
    .tuple(fc.constantFrom("", "", "", "1!"), fc.array(segment, { minLength: 1, maxLength: 3 }))
    .map(([epoch, segments]) => epoch + segments.join("."));
  const local = fc.constantFrom("", "", "", "+a", "+1");
  const clause = fc
    .tuple(
      fc.constantFrom("", "=", "==", "!=", "<", "<=", ">", ">=", "~="),
      version,
      fc.constantFrom("", "", ".*", "*"),
    )
    // This rattler takes `==1.8.*` for `==1.8`; CEP 29, and later versions of rattler, for `1.8.*`.
    .map(([operator, text, stars]) => operator + text + (operator === "==" ? "" : stars));
  const spec = fc
    .array(fc.tuple(clause, fc.constantFrom(",", "|")), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.flat().slice(0, -1).join(""));
  const anySpec = fc
    .tuple(spec, spec, fc.constantFrom("", ",", "|"))
    .map(([a, b, prefix]) => (prefix === "" ? a : `(${a})${prefix}${b}`));

  test("match the same versions for any spec", () => {
    let taken = 0;
    fc.assert(
      fc.property(anySpec, version, local, (text, plain, suffixed) => {
        using other = new RattlerSpec(text);
        using candidate = new RattlerVersion(plain + suffixed);
        const expected = other.matches(candidate);
        if (expected) taken += 1;
        expect(`${text} ${plain}${suffixed} ${matches(text, plain + suffixed)}`).toBe(
          `${text} ${plain}${suffixed} ${expected}`,
        );
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(500);
  });
});
