// Which codes can be used up: only those of the secret that is stored and confirmed.

import { expect, test } from "bun:test";
import { openDatabase } from "../../src/models/open-database.ts";
import { confirmSecondFactor, replaceSecondFactor, useStep } from "../../src/models/second-factor.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import { startTestApp } from "../support/app.ts";

test("a step is used up once, of a confirmed secret, and of no secret that was replaced meanwhile", async () => {
  const server = await startTestApp();
  await server.addUser("alice");
  const database = await openDatabase(
    { engine: "sqlite", path: `${server.folder}/condarium.db` },
    { clock, create: false },
  );
  const use = (secret: string, step: number): Promise<boolean> =>
    database.transact((tx) => useStep(tx, { userId: 1, secret }, step));
  await database.transact((tx) => replaceSecondFactor(tx, { userId: 1, secret: "NEW", created: 0 }));
  expect(await use("NEW", 8)).toBe(false);
  await database.transact((tx) => confirmSecondFactor(tx, { userId: 1, confirmed: 1, lastStep: 7 }));
  expect([await use("OLD", 8), await use("NEW", 7)]).toEqual([false, false]);
  expect([await use("NEW", 9), await use("NEW", 9), await use("NEW", 8)]).toEqual([true, false, false]);
  // The clock was set back: a step counts again, once.
  expect([await use("NEW", 100), await use("NEW", 80), await use("NEW", 79)]).toEqual([true, false, true]);
  expect([await use("NEW", 79), await use("NEW", 80)]).toEqual([false, true]);
  await database.close();
  await server.close();
});
