import { describe, expect, test } from "bun:test";
import { COMMON_PASSWORDS } from "../../src/modules/common-passwords.ts";
import {
  hashNewPassword,
  hashPassword,
  needsRehash,
  verifyNobody,
  verifyPassword,
} from "../../src/modules/passwords.ts";
import { errorOf } from "./error-of.ts";
import { named } from "../support/case-name.ts";

const GOOD = "correct horse";

describe("passwords", () => {
  test("are hashed by argon2id with 19 MiB and two passes, each with its own salt", async () => {
    const [first, second] = await Promise.all([hashPassword(GOOD), hashPassword(GOOD)]);
    expect(first).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$");
    expect(first).not.toBe(second);
    expect(first).not.toContain(GOOD);
    expect(await verifyPassword(GOOD, first)).toBe(true);
    expect(await verifyPassword(GOOD, second)).toBe(true);
    expect(await verifyPassword("Correct horse", first)).toBe(false);
    expect(needsRehash(first)).toBe(false);
  });

  test.each(
    named(["", "1234567", "\0".repeat(8), "good but\0", "x".repeat(1025), "é".repeat(513), "x".repeat(1_000_000)]),
  )("are refused when too short, too long or with a NUL: %s", async (_, password) => {
    const error = await errorOf(hashPassword(password));
    expect(error).toMatchObject({ code: "weak-password" });
    if (password !== "") expect(error.message).not.toContain(password);
    expect(await verifyPassword(password, await hashPassword(GOOD))).toBe(false);
  });

  test("of 8 and of 1024 bytes are accepted", async () => {
    for (const password of ["12345678", "ääää", "x".repeat(1024)]) {
      expect(await verifyPassword(password, await hashPassword(password))).toBe(true);
    }
    const long = "x".repeat(1023);
    expect(await verifyPassword(`${long}y`, await hashPassword(`${long}x`))).toBe(false);
  });

  test("of the 3,000 commonest are refused when somebody chooses one, in whatever letters", async () => {
    expect(COMMON_PASSWORDS.size).toBe(3000);
    expect([...COMMON_PASSWORDS].filter((one) => one.length < 8 || one !== one.toLowerCase() || one === "")).toEqual(
      [],
    );
    for (const password of [
      "password1",
      "PassWord1",
      "12345678",
      "\uff11\uff12345678",
      [...COMMON_PASSWORDS].at(-1) ?? "",
    ]) {
      const error = await errorOf(hashNewPassword(password));
      expect(error).toMatchObject({ code: "weak-password" });
      expect(error.message).not.toContain(password);
    }
    for (const password of ["password1 and more", "# The 3,000 commonest"]) {
      expect(await verifyPassword(password, await hashNewPassword(password))).toBe(true);
    }
    expect(await errorOf(hashNewPassword("short"))).toMatchObject({ code: "weak-password" });
    expect(await verifyPassword("password1", await hashPassword("password1"))).toBe(true);
  });

  test("match in any Unicode composition", async () => {
    const hash = await hashPassword("Caf\u00e9 \u2460 long");
    expect(await verifyPassword("Cafe\u0301 1 long", hash)).toBe(true);
    expect(await verifyPassword("Cafe 1 long", hash)).toBe(false);
  });

  test.each(["", "x", "$argon2id$v=19$m=19456,t=2,p=1$", "$2b$10$abcdefghijklmnopqrstuv", "\0"])(
    "never match the malformed hash %j",
    async (hash) => {
      expect(await verifyPassword(GOOD, hash)).toBe(false);
      expect(needsRehash(hash)).toBe(hash !== "$argon2id$v=19$m=19456,t=2,p=1$");
    },
  );

  test("hashed with other parameters are verified and reported as outdated", async () => {
    const old = await Bun.password.hash(GOOD, { algorithm: "argon2id", memoryCost: 1024, timeCost: 1 });
    expect(await verifyPassword(GOOD, old)).toBe(true);
    expect(needsRehash(old)).toBe(true);
  });

  test("of an unknown user never match and cost as much to check", async () => {
    const hash = await hashPassword(GOOD);
    const timeOf = async (work: () => Promise<boolean>): Promise<number> => {
      const started = performance.now();
      for (let count = 0; count < 5; count++) expect(await work()).toBe(false);
      return performance.now() - started;
    };
    const somebody = await timeOf(() => verifyPassword("wrong password", hash));
    const nobody = await timeOf(() => verifyNobody("wrong password"));
    expect(nobody / somebody).toBeGreaterThan(0.4);
    expect(nobody / somebody).toBeLessThan(2.5);
    expect(await verifyNobody(GOOD)).toBe(false);
  });

  test("of a flood wait for their turn, and are refused when too many wait", async () => {
    const hash = await Bun.password.hash(GOOD, { algorithm: "argon2id", memoryCost: 1024, timeCost: 1 });
    const flood = await Promise.allSettled(Array.from({ length: 80 }, () => verifyPassword(GOOD, hash)));
    const refused = flood.filter((result) => result.status === "rejected");
    expect(refused).toHaveLength(80 - 3 - 32);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: "throttled", facts: { retryAfter: 5 } });
    expect(flood.every((result) => result.status === "rejected" || result.value)).toBe(true);
  });

  test("of a flood from one network delay no other network", async () => {
    const hash = await hashPassword(GOOD);
    const order: string[] = [];
    const verify = async (who: string): Promise<void> => {
      await verifyPassword(GOOD, hash, { who });
      order.push(who);
    };
    const flood = Array.from({ length: 30 }, () => verify("flooder"));
    const others = Array.from({ length: 5 }, (_, at) => verify(`other-${at}`));
    await Promise.all([...flood, ...others]);
    expect(order.findLastIndex((who) => who !== "flooder")).toBeLessThan(15);
  });

  test("are hashed four at a time at most", async () => {
    const hash = await hashPassword(GOOD);
    const gate = Promise.withResolvers<void>();
    let begun = 0;
    const begin = (): Promise<void> => {
      begun += 1;
      return gate.promise;
    };
    const all = Array.from({ length: 10 }, (_, at) => verifyPassword(GOOD, hash, { who: `network-${at}`, begin }));
    await Bun.sleep(20);
    expect(begun).toBe(4);
    gate.resolve();
    expect(await Promise.all(all)).not.toContain(false);
  });

  test("are not hashed when the caller's reservation fails", async () => {
    const refuse = (): Promise<void> => Promise.reject(new Error("no place"));
    const hash = await hashPassword(GOOD);
    expect((await errorOf(verifyPassword(GOOD, hash, { who: "a", begin: refuse }))).message).toBe("no place");
    expect(await verifyPassword(GOOD, hash, { who: "a" })).toBe(true);
  });
});
