// 100 power cuts under load on one data folder. `CONDARIUM_TEST_SEED` repeats a run, `CONDARIUM_TEST_CUTS` sets the number.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createPowerCuts, type PowerCuts } from "../support/faulted/power-cuts.ts";
import { leaveOut } from "../support/left-out.ts";

const CUTS = Number(process.env["CONDARIUM_TEST_CUTS"] ?? 100);
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);

let cuts: PowerCuts | undefined;
beforeAll(async () => {
  cuts = await createPowerCuts();
});
afterAll(() => cuts?.remove());

test("one power cut after another loses nothing that was acknowledged", async () => {
  if (!cuts) return leaveOut("100 power cuts", "this needs root, a loop device and mkfs.ext4");
  for (let at = 0; at < CUTS; at++) {
    const seed = SEED + at;
    if (at % 10 === 0) console.log(`${at} of ${CUTS} cuts; CONDARIUM_TEST_SEED=${seed} begins here`);
    await cuts.cut(seed);
    expect([seed, cuts.ledger.problems]).toEqual([seed, []]);
  }
  console.log(`answers: ${JSON.stringify([...cuts.ledger.answers])}`);
});
