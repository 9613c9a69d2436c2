import { expect, test } from "bun:test";
import { AppError } from "../../src/errors.ts";
import { createAdmission } from "../../src/services/admission.ts";
import { errorOf } from "../modules/error-of.ts";

test("an account has its number of uploads under way and no more; the next is told when to come back", async () => {
  const { admit } = createAdmission({ perAccount: 2 });
  const held = Promise.withResolvers<string>();
  const open = [admit("alice", () => held.promise), admit("alice", () => held.promise)];
  let ran = false;
  const error = await errorOf(admit("alice", async () => void (ran = true)));
  expect(error).toBeInstanceOf(AppError);
  expect(error).toMatchObject({ code: "throttled", facts: { retryAfter: 5 } });
  expect(ran).toBe(false);
  expect(await admit("bob", () => Promise.resolve("bob's"))).toBe("bob's");
  held.resolve("done");
  expect(await Promise.all(open)).toEqual(["done", "done"]);
  expect(await admit("alice", () => Promise.resolve("again"))).toBe("again");
});

test("an upload that fails gives its place back, and its error on", async () => {
  const admission = createAdmission({ perAccount: 1 });
  for (let round = 0; round < 3; round++) {
    const failing = admission.admit("alice", () => Promise.reject(new Error(`round ${round}`)));
    expect(admission.open).toBe(1);
    expect((await errorOf(failing)).message).toBe(`round ${round}`);
    expect(admission.open).toBe(0);
  }
});

test("what throws before it waits gives its place back too", async () => {
  const admission = createAdmission({ perAccount: 1 });
  const throwing = admission.admit("alice", () => {
    throw new Error("at once");
  });
  expect((await errorOf(throwing)).message).toBe("at once");
  expect(admission.open).toBe(0);
});
