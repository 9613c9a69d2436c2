// Mutants of good packages, many and new each night: every reader must read an accepted package alike.
// `CONDARIUM_TEST_MUTANTS` sets their number, `CONDARIUM_TEST_SEED` repeats a run; findings go to `.cache/differences/`.

import { expect, test } from "bun:test";
import { join } from "node:path";

import { haveClients } from "../e2e/clients.ts";
import { mutants } from "../support/archive-mutants.ts";
import { compareReaders, haveLibarchive } from "../support/archive-readers.ts";

const MUTANTS = Number(process.env["CONDARIUM_TEST_MUTANTS"] ?? 20_000);
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const BATCH = 500;
const KEPT = join(import.meta.dir, "../../.cache/differences");

test.skipIf(!((await haveClients()) && (await haveLibarchive())))("no reader differs from another", async () => {
  console.log(`seed ${SEED}, ${MUTANTS} packages`);
  const differences: string[] = [];
  const refusals = new Map<string, number>();
  let accepted = 0;
  for (let first = 0; first < MUTANTS; first += BATCH) {
    const comparison = await compareReaders(mutants(SEED, first, Math.min(BATCH, MUTANTS - first)));
    accepted += comparison.accepted.length;
    for (const [rule, count] of comparison.refusals) refusals.set(rule, (refusals.get(rule) ?? 0) + count);
    for (const { sample, reader, what } of comparison.differences) {
      differences.push(`${reader}, ${sample.name}: ${what}`);
      await Bun.write(join(KEPT, sample.name, sample.fileName), sample.bytes);
    }
  }
  console.log(`${accepted} accepted and compared; refused:`, Object.fromEntries(refusals));
  expect(differences).toEqual([]);
});
