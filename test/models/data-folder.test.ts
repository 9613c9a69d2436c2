import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataFolder } from "../../src/models/data-folder.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-folder-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Creates and deletes a file without pause, until it is killed. */
const COMES_AND_GOES = `
  const { rmSync, writeFileSync } = require("node:fs");
  console.log("ready");
  for (;;) {
    writeFileSync(process.argv[1], "");
    rmSync(process.argv[1]);
  }
`;

test("a data folder opens while another process creates and deletes the log of a database", async () => {
  openDataFolder(folder, { create: true });
  await using other = Bun.spawn([process.execPath, "-e", COMES_AND_GOES, join(folder, "index.db-shm")], {
    stdout: "pipe",
  });
  await other.stdout.getReader().read();
  for (let at = 0; at < 5000; at += 1) openDataFolder(folder, { create: true });
  expect(other.exitCode).toBeNull();
});
