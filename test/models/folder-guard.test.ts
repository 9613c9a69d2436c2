import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFolderGuard, type FolderGuard } from "../../src/models/folder-guard.ts";

const rooms: string[] = [];
afterAll(() => rooms.forEach((room) => rmSync(room, { recursive: true, force: true })));

type Guarded = { readonly root: string; readonly guard: FolderGuard };

function guarded(): Guarded {
  const root = mkdtempSync(join(tmpdir(), "folder-guard-"));
  rooms.push(root, `${root}.old`);
  const [lock, database] = [join(root, "lock"), join(root, "condarium.db")];
  for (const path of [lock, database, `${database}-wal`, `${database}-shm`]) writeFileSync(path, "x");
  const guard = createFolderGuard({ root, lock, database });
  guard.begin();
  return { root, guard };
}

function replace(path: string): void {
  writeFileSync(`${path}.new`, "another");
  renameSync(`${path}.new`, path);
}

const CHANGES: readonly (readonly [string, (root: string) => void, string])[] = [
  ["the lock is replaced", (root) => replace(join(root, "lock")), "was replaced"],
  ["the database is replaced", (root) => replace(join(root, "condarium.db")), "was replaced"],
  ["the log of the database is deleted", (root) => rmSync(join(root, "condarium.db-wal")), "was moved or deleted"],
  ["the database is emptied", (root) => truncateSync(join(root, "condarium.db")), "was emptied"],
  [
    "the blobs are moved away",
    (root) => renameSync(join(root, "blobs"), join(root, "elsewhere")),
    "was moved or deleted",
  ],
  ["the folder is moved away", (root) => renameSync(root, `${root}.old`), "was moved or deleted"],
];

// A guard looks less closely at a folder that has been still for two seconds, and must see the same changes.
for (const stillFor of [0, 2500]) {
  test(`a guard of a folder that was still for ${stillFor} ms reports each change`, async () => {
    const cases = CHANGES.map(([name, change, what]) => ({ name, change, what, ...guarded() }));
    await Bun.sleep(stillFor);
    for (const { guard } of cases) expect([guard.problem(), guard.problem()]).toEqual([undefined, undefined]);
    for (const { name, change, what, root, guard } of cases) {
      change(root);
      expect([name, guard.problem()?.what, guard.problem()?.what]).toEqual([name, what, what]);
    }
  });
}

test("a guard reports a change that is undone as gone", () => {
  const { root, guard } = guarded();
  renameSync(join(root, "blobs"), join(root, "elsewhere"));
  expect(guard.problem()).toBeDefined();
  renameSync(join(root, "elsewhere"), join(root, "blobs"));
  expect(guard.problem()).toBeUndefined();
});
