// The complete app: what a failed start leaves behind in its process.

import { expect, test } from "bun:test";
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errorOf } from "./modules/error-of.ts";
import { startTestApp } from "./support/app.ts";

const PAGE_BYTES = 4096;

/** Whether this process holds the lock of a folder. SQLite keeps other files open longer. */
async function isLocked(folder: string): Promise<boolean> {
  const handles = await readdir("/proc/self/fd");
  const paths = await Promise.all(handles.map((handle) => readlink(join("/proc/self/fd", handle)).catch(() => "")));
  return paths.includes(join(folder, "lock"));
}

test.each([
  ["its database is no database", 0],
  // The pages after it contain the channels, which are read after all files are open.
  ["the tables of its database are damaged", 3 * PAGE_BYTES],
])("a start that fails because %s releases the data folder, and the next start succeeds", async (_, offset) => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-start-fails-"));
  await (await startTestApp({ folder })).app.close();
  const path = join(folder, "condarium.db");
  const whole = await Bun.file(path).bytes();
  await Bun.write(path, whole.slice().fill(0xa5, offset));
  for (let tries = 0; tries < 3; tries++) {
    expect((await errorOf(startTestApp({ folder }))).message).toStartWith(`${path} is damaged`);
    expect(await isLocked(folder)).toBe(false);
  }
  await Bun.write(path, whole);
  const { app } = await startTestApp({ folder });
  expect(await isLocked(folder)).toBe(true);
  await app.close();
  await app.close();
  expect(await isLocked(folder)).toBe(false);
  await rm(folder, { recursive: true, force: true });
});
