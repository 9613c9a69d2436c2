import { describe, expect, test } from "bun:test";
import { isNearName } from "../../src/modules/near-names.ts";

describe("two channel names", () => {
  test.each([
    ["mian", "main"],
    ["man", "main"],
    ["maiin", "main"],
    ["maim", "main"],
    ["ain", "main"],
    ["my-tools", "my_tools"],
    ["mytools", "my-tools"],
    ["bioconda", "biocnda"],
    ["conda-froge", "conda-forge"],
    ["conda-fxxge", "conda-forge"],
    ["team/mian", "team/main"],
  ])("are near when one is a typing error of the other: %s %s", (one, other) => {
    expect([isNearName(one, other), isNearName(other, one)]).toEqual([true, true]);
  });

  test.each([
    ["main", "main"],
    ["main", "main2"],
    ["main", "main-2"],
    ["py38", "py39"],
    ["release-1", "release-12"],
    ["main", "dev"],
    ["mxxn", "main"],
    ["niam", "main"],
    ["ab", "ac"],
    ["conda-forge", "conda"],
    ["conda-xxxge", "conda-forge"],
  ])("are not near otherwise: %s %s", (one, other) => {
    expect([isNearName(one, other), isNearName(other, one)]).toEqual([false, false]);
  });

  test("are compared in a time that grows with their length alone", () => {
    const long = "a".repeat(256);
    const started = performance.now();
    for (let at = 0; at < 1000; at++) isNearName(`${long}x`, `x${long}`);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
