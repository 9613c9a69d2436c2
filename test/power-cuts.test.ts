// Power cuts under load: the short run of `bun run nightly power`.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { createCuttableDisk } from "./support/faulted/cuttable-disk.ts";
import { createPowerCuts, type PowerCuts } from "./support/faulted/power-cuts.ts";
import { leaveOut } from "./support/left-out.ts";

const CUTS = 4;
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);

const probe = await createCuttableDisk(8);
await probe?.remove();
if (!probe) leaveOut("power cuts", "this needs root, a loop device and mkfs.ext4");

describe.skipIf(!probe)("a power cut", () => {
  let cuts: PowerCuts | undefined;
  beforeAll(async () => {
    cuts = await createPowerCuts();
  });
  afterAll(() => cuts?.remove());

  test("of the test's own disk loses exactly what was not synced", async () => {
    const disk = await createCuttableDisk(8);
    if (!disk) throw new Error("the disk was there before");
    const write = async (name: string, isSynced: boolean): Promise<void> => {
      const file = await open(join(disk.folder, name), "w");
      await file.write("content");
      if (isSynced) await file.sync();
      await file.close();
    };
    await write("synced", true);
    await write("lost", false);
    disk.cut();
    await disk.restart();
    expect((await readdir(disk.folder)).filter((name) => name !== "lost+found")).toEqual(["synced"]);
    expect(await Bun.file(join(disk.folder, "synced")).text()).toBe("content");
    await disk.remove();
  });

  test("under load loses nothing that was acknowledged, and shows nothing half", async () => {
    if (!cuts) throw new Error("the disk was there before");
    console.log(`CONDARIUM_TEST_SEED=${SEED} repeats the cuts`);
    for (let at = 0; at < CUTS; at++) {
      await cuts.cut(SEED + at);
      expect([SEED + at, cuts.ledger.problems]).toEqual([SEED + at, []]);
    }
    for (const answer of ["publish 201", "delete 204"])
      expect([answer, (cuts.ledger.answers.get(answer) ?? 0) > CUTS]).toEqual([answer, true]);
  });
});
