// 1,000 rounds of `kill -9` at every failpoint under load, on one data folder. `CONDARIUM_TEST_SEED` with the seed of a
// round begins there, with an empty folder; `CONDARIUM_TEST_ROUNDS` sets their number, `CONDARIUM_TEST_MINUTES` the time.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createKillRounds, type KillRounds } from "../support/faulted/kill-rounds.ts";
import { leaveOut } from "../support/left-out.ts";

const ROUNDS = Number(process.env["CONDARIUM_TEST_ROUNDS"] ?? 1000);
const MINUTES = Number(process.env["CONDARIUM_TEST_MINUTES"] ?? 100);
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);

let rounds: KillRounds;
beforeAll(async () => {
  rounds = await createKillRounds();
});
afterAll(() => rounds.remove());

test("servers that are killed at every failpoint, again and again, lose nothing that was acknowledged", async () => {
  const end = performance.now() + MINUTES * 60_000;
  let done = 0;
  for (; done < ROUNDS && performance.now() < end; done++) {
    const seed = SEED + done;
    if (done % 10 === 0) console.log(`${done} of ${ROUNDS} rounds; CONDARIUM_TEST_SEED=${seed} begins here`);
    await rounds.run(seed);
    expect([seed, rounds.ledger.problems]).toEqual([seed, []]);
  }
  await rounds.finish();
  expect(rounds.ledger.problems).toEqual([]);
  console.log(`${done} rounds; answers: ${JSON.stringify([...rounds.ledger.answers])}`);
  if (done < ROUNDS) leaveOut(`${ROUNDS - done} of ${ROUNDS} rounds of kills`, `${MINUTES} minutes had passed`);
  expect([...rounds.reached].toSorted()).toEqual([...rounds.points]);
});
