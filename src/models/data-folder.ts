// The data folder: made private, of a layout this binary knows, on a disk it can use.

import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { usage } from "../errors.ts";

export type DataFolder = {
  readonly root: string;
  readonly database: string;
  readonly lock: string;
};

/** Raised with the same rule as migrations: a binary refuses only a layout above its own. */
const LAYOUT = 1;

/**
 * `create` makes a missing folder; without it a missing one is refused.
 * Errors: `usage` when the folder is missing, of a newer layout, or not a folder of our own.
 */
export function openDataFolder(path: string, options: { readonly create: boolean }): DataFolder {
  const root = resolve(path);
  const folder = { root, database: join(root, "condarium.db"), lock: join(root, "lock") };
  if (!existsSync(folder.database) && !options.create) {
    throw usage(`There is no condarium data in ${root}. Start the server there once, or give --data.`);
  }
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw usage(`The data folder ${root} cannot be made: ${reason(error)}`);
  }
  refuseForeign(root);
  checkLayout(join(root, "layout"));
  refuseLostDatabase(folder);
  return folder;
}

/** `tmp` is made after the database, so it tells that there was one: an empty one in its place would hide every package. */
function refuseLostDatabase({ root, database }: DataFolder): void {
  const size = statSync(database, { throwIfNoEntry: false })?.size ?? 0;
  if (size > 0 || !existsSync(join(root, "tmp"))) return;
  throw usage(`${database} is gone or empty: restore it from a backup, or begin anew in an empty folder.`);
}

function refuseForeign(root: string): void {
  const info = lstatSync(root);
  if (!info.isDirectory()) throw usage(`${root} is not a folder.`);
  if ((info.mode & 0o077) === 0) return;
  try {
    chmodSync(root, 0o700);
  } catch {
    throw usage(
      `Others can read ${root}, and only its owner (user ${info.uid}) can change that: make it mode 0700, or give it to user ${process.getuid?.() ?? "?"}.`,
    );
  }
}

function checkLayout(path: string): void {
  if (!existsSync(path)) {
    try {
      writeFileSync(path, `${LAYOUT}\n`, { mode: 0o600, flush: true });
    } catch (error) {
      throw usage(`The data folder cannot be written: ${reason(error)}`);
    }
  }
  const layout = Number(readFileSync(path, "utf8").trim());
  if (!Number.isInteger(layout) || layout < 1)
    throw usage(`${path} is damaged: it must hold the number of the layout.`);
  if (layout > LAYOUT)
    throw usage(`The data folder has layout ${layout}; this condarium knows ${LAYOUT}. Use a newer one.`);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
