import { describe, expect, test } from "bun:test";
import { allOf } from "../../src/modules/all-of.ts";

describe("steps at the same time", () => {
  test("give their values in their order", async () => {
    const late = Bun.sleep(5).then(() => 1);
    expect(await allOf(late, Promise.resolve("two"))).toEqual([1, "two"]);
  });

  test("have all ended when one has failed, and the error is that of the first failure", async () => {
    const ended: string[] = [];
    const step = async (name: string, ms: number): Promise<never> => {
      await Bun.sleep(ms);
      ended.push(name);
      throw new Error(name);
    };
    const failure = await allOf(step("consequence", 20), step("cause", 5)).catch((error: unknown) => error);
    expect(String(failure)).toBe("Error: cause");
    expect(ended).toEqual(["cause", "consequence"]);
  });
});
