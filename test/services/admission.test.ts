import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/errors.ts";
import { createAdmission, type Admission, type Upload } from "../../src/services/admission.ts";
import { errorOf } from "../modules/error-of.ts";

/** Uploads under the test's clock, each of which continues until it is ended or has to make room. */
function scene(limits: { readonly perAccount: number; readonly perCredential: number }) {
  let time = 0;
  const admission = createAdmission({ ...limits, now: () => time });
  const begin = (account: string, credential: string) => {
    const held = Promise.withResolvers<void>();
    let upload: Upload | undefined;
    const done = admit(admission, account, credential, (given) => {
      upload = given;
      return Promise.race([
        held.promise,
        new Promise<never>((_, reject) =>
          given.signal.addEventListener("abort", () => reject(given.signal.reason as Error)),
        ),
      ]);
    });
    done.catch(() => undefined);
    return { done, upload, end: held.resolve };
  };
  return { admission, begin, pass: (ms: number) => void (time += ms) };
}

async function admit<T>(
  admission: Admission,
  account: string,
  credential: string,
  work: (upload: Upload) => Promise<T>,
): Promise<T> {
  return await admission.admit({ account, credential, name: `The ${credential} of ${account}` }, work);
}

describe("uploads under way", () => {
  test("are limited per token; the next one is told when to retry, and other tokens are admitted", async () => {
    const { admission, begin } = scene({ perAccount: 10, perCredential: 2 });
    const open = [begin("alice", "token 1"), begin("alice", "token 1")];
    let ran = false;
    const error = await errorOf(admit(admission, "alice", "token 1", async () => void (ran = true)));
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ code: "throttled", facts: { retryAfter: 5, members: { limit: 2 } } });
    expect(error.message).toContain("The token 1 of alice has 2 uploads");
    expect(ran).toBe(false);
    expect(await admit(admission, "alice", "token 2", () => Promise.resolve("hers"))).toBe("hers");
    expect(await admit(admission, "bob", "password", () => Promise.resolve("his"))).toBe("his");
    for (const { end } of open) end();
    await Promise.all(open.map(({ done }) => done));
    expect(await admit(admission, "alice", "token 1", () => Promise.resolve("again"))).toBe("again");
  });

  test("are limited per account, except for the first upload of a token that has none", async () => {
    const { admission, begin } = scene({ perAccount: 4, perCredential: 4 });
    for (let count = 0; count < 4; count++) begin("alice", "lost");
    begin("alice", "token 1");
    for (const credential of ["lost", "token 1", "token 2"]) {
      const error = await errorOf(admit(admission, "alice", credential, () => Promise.resolve()));
      expect(error).toMatchObject({ code: "throttled" });
    }
    expect(admission.open).toBe(5);
  });

  test("make room when they stand still, the longest-stalled one first", async () => {
    const { admission, begin, pass } = scene({ perAccount: 10, perCredential: 3 });
    const [first, second, third] = [begin("alice", "t"), begin("alice", "t"), begin("alice", "t")];
    pass(2000);
    second.upload?.arrived();
    pass(2000);
    third.upload?.arrived();
    begin("alice", "t");
    expect(await errorOf(first.done)).toMatchObject({ code: "timeout" });
    expect(await errorOf(admit(admission, "alice", "t", () => Promise.resolve()))).toMatchObject({ code: "throttled" });
    pass(2000);
    begin("alice", "t");
    expect(await errorOf(second.done)).toMatchObject({ code: "timeout" });
    expect(admission.open).toBe(3);
    expect(third.upload?.signal.aborted).toBe(false);
  });

  test("make no room once their bodies are complete", async () => {
    const { admission, begin, pass } = scene({ perAccount: 1, perCredential: 1 });
    const only = begin("alice", "t");
    only.upload?.received();
    pass(100_000);
    expect(await errorOf(admit(admission, "alice", "t", () => Promise.resolve()))).toMatchObject({ code: "throttled" });
    expect(only.upload?.signal.aborted).toBe(false);
  });
});

test("an upload that fails frees its slot and passes its error on", async () => {
  const { admission } = scene({ perAccount: 1, perCredential: 1 });
  for (let round = 0; round < 3; round++) {
    const failing = admit(admission, "alice", "t", () => Promise.reject(new Error(`round ${round}`)));
    expect(admission.open).toBe(1);
    expect((await errorOf(failing)).message).toBe(`round ${round}`);
    expect(admission.open).toBe(0);
  }
});

test("an upload that throws synchronously frees its slot too", async () => {
  const { admission } = scene({ perAccount: 1, perCredential: 1 });
  const throwing = admit(admission, "alice", "t", () => {
    throw new Error("at once");
  });
  expect((await errorOf(throwing)).message).toBe("at once");
  expect(admission.open).toBe(0);
});
