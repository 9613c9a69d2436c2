// The data folder: made private, of a layout this binary knows, on a disk it can use.

import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { join, resolve } from "node:path";
import { usage } from "../errors.ts";
import { FOLDERS } from "../modules/storage/keys.ts";

export type DataFolder = {
  readonly root: string;
  readonly database: string;
  /** What documents are made of, derived from the database. */
  readonly index: string;
  /** A folder of what nobody needs after a start. */
  readonly temporary: string;
  readonly lock: string;
};

/** Where the parts of a data folder lie, whether or not they are there. */
export function partsOfFolder(root: string): DataFolder {
  return {
    root,
    database: join(root, "condarium.db"),
    index: join(root, "index.db"),
    temporary: join(root, "tmp"),
    lock: join(root, "lock"),
  };
}

/** Raised with the same rule as migrations: a binary refuses only a layout above its own. */
const LAYOUT = 1;
const DATABASES = ["condarium.db", "index.db"].flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
/** What may lie in the folder, and what each must be. */
const FOLDER_NAMES = new Set<string>([...FOLDERS, "derived", "tmp"]);
const ENTRIES = ["layout", "lock", ...DATABASES, ...FOLDER_NAMES];
const DERIVED = /^(?:index\.db.*|derived|shards)$/;

/**
 * `create` makes a missing folder; without it a missing one is refused.
 * Errors: `usage` when the folder is missing, of a newer layout, or not a folder of our own.
 */
export function openDataFolder(path: string, options: { readonly create: boolean }): DataFolder {
  const root = resolve(path);
  const folder = partsOfFolder(root);
  // Whether something is missing can be asked only where one may look.
  if (existsSync(root)) requireAccess(root, lookAt(root), "");
  if (!existsSync(folder.database) && !options.create) {
    refuseLostDatabase(folder);
    throw usage(`There is no condarium data in ${root}. Start the server there once, or give --data.`);
  }
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw usage(`The data folder ${root} cannot be made: ${reason(error)}`);
  }
  refuseForeign(root);
  for (const name of ENTRIES) checkEntry(root, name);
  checkLayout(join(root, "layout"));
  refuseLostDatabase(folder);
  return folder;
}

/** What is of another kind was put there by somebody, and what cannot be used would fail in the middle of something. */
function checkEntry(root: string, name: string): void {
  const path = join(root, name);
  const info = lookAt(path);
  if (!info) return;
  const wayOut = DERIVED.test(name)
    ? " It holds only what can be made again: delete it while the server is stopped."
    : "";
  const isFolder = FOLDER_NAMES.has(name);
  if (isFolder ? !info.isDirectory() : !info.isFile()) {
    const kinds = isFolder ? "a folder, not a link or a file" : "a file, not a link or a folder";
    throw usage(`${path} must be ${kinds}.${wayOut || " Put back what was there, from a backup if need be."}`);
  }
  requireAccess(path, info, wayOut);
}

function requireAccess(path: string, info: Stats | undefined, wayOut: string): void {
  const { R_OK, W_OK, X_OK } = constants;
  try {
    accessSync(path, info?.isDirectory() === true ? R_OK | W_OK | X_OK : R_OK | W_OK);
  } catch (error) {
    throw usage(`${path} cannot be used: ${whyNot(error, info)}${wayOut}`);
  }
}

function whyNot(error: unknown, info: Stats | undefined): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EROFS") return "its file system is read-only. Make it writable.";
  if (code !== "EACCES" || !info) return `${reason(error)}.`;
  const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
  const me = process.getuid?.() ?? "?";
  const fix = info.uid === me ? "Give yourself the right to read and write it." : "Run condarium as that user.";
  return `it belongs to user ${info.uid} and has mode ${mode}, and this is user ${me}. ${fix}`;
}

function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw usage(`${path} cannot be looked at: ${reason(error)}.`);
  }
}

/** `tmp` is made after the database, so it tells that there was one: an empty one in its place would hide every package. */
function refuseLostDatabase({ temporary, database }: DataFolder): void {
  if (!existsSync(temporary)) return;
  if ((statSync(database, { throwIfNoEntry: false })?.size ?? 0) > 0) return;
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
    throw usage(`${path} is damaged: it must hold the number of the layout, which is ${LAYOUT} for this condarium.`);
  if (layout > LAYOUT)
    throw usage(`The data folder has layout ${layout}; this condarium knows ${LAYOUT}. Use a newer one.`);
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
