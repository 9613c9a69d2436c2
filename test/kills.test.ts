// `kill -9` at every failpoint under load: the short run of `bun run nightly kills`.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { createKillRounds, type KillRounds } from "./support/faulted/kill-rounds.ts";

const ROUNDS = 20;
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);

let rounds: KillRounds;
beforeAll(async () => {
  rounds = await createKillRounds();
});
afterAll(() => rounds.remove());

test("twenty servers that are killed at every failpoint lose nothing that was acknowledged", async () => {
  console.log(`CONDARIUM_TEST_SEED=${SEED} repeats the kills`);
  for (let at = 0; at < ROUNDS; at++) {
    await rounds.run(SEED + at);
    expect([SEED + at, rounds.ledger.problems]).toEqual([SEED + at, []]);
  }
  await rounds.finish();
  expect(rounds.ledger.problems).toEqual([]);
  expect([...rounds.reached].toSorted()).toEqual([...rounds.points]);
  // Clients that got no answer would prove nothing.
  for (const answer of ["publish 201", "publish 409", "delete 204", "document 200", "download 200", "impostor 409"])
    expect([answer, (rounds.ledger.answers.get(answer) ?? 0) > 5]).toEqual([answer, true]);
}, 240_000);
