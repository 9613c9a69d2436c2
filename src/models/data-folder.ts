// The data folder: private, with a layout that this binary supports, on a disk that it can use.

import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { join, resolve } from "node:path";
import { usage } from "../errors.ts";
import { hasCode } from "../modules/storage/disk-errors.ts";
import { FOLDERS } from "../modules/storage/keys.ts";

export type DataFolder = {
  readonly root: string;
  readonly database: string;
  /** The database of derived data, from which documents are built. */
  readonly index: string;
  /** A folder of temporary files; its contents are not needed after a restart. */
  readonly temporary: string;
  /** A file that is there while a restore runs, and after it was interrupted. */
  readonly restoring: string;
  readonly lock: string;
  /** A file with the number of the layout. */
  readonly layout: string;
  /** A file that says that the rows are in a database server. */
  readonly server: string;
};

/** The paths of the parts of a data folder; the parts need not exist. */
export function partsOfFolder(root: string): DataFolder {
  return {
    root,
    database: join(root, "condarium.db"),
    index: join(root, "index.db"),
    temporary: join(root, "tmp"),
    restoring: join(root, "tmp", "restoring"),
    lock: join(root, "lock"),
    layout: join(root, "layout"),
    server: join(root, "database-server"),
  };
}

/** Raised by the same rule as migrations: a binary refuses only a layout above its own. */
const LAYOUT = 1;
const DATABASES = ["condarium.db", "index.db"].flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
/** The entries of a data folder that must be folders; the other `ENTRIES` must be files. */
const FOLDER_NAMES = new Set<string>([...FOLDERS, "derived", "tmp"]);
const ENTRIES = ["layout", "lock", "database-server", ...DATABASES, ...FOLDER_NAMES];
const DERIVED = /^(?:index\.db.*|derived|shards)$/;

type FolderOptions = {
  readonly create: boolean;
  /** "server": the rows are in a database server, and the folder has only files. */
  readonly database?: "file" | "server";
};

/**
 * Opens a data folder; `create` creates a missing folder, otherwise a missing folder is an error.
 * Errors: `usage` when the folder is missing, has a newer layout, or cannot be used or made private.
 */
export function openDataFolder(path: string, options: FolderOptions): DataFolder {
  const root = folderAt(path, options);
  const folder = partsOfFolder(root);
  // `existsSync` is also false for a file in a folder that this user cannot read.
  if (existsSync(root)) requireAccess(root, statOrRefuse(root), "");
  const { create, database = "file" } = options;
  if (database === "server") refuseSecondDatabase(folder);
  else refuseServerFolder(folder);
  if (!existsSync(database === "file" ? folder.database : folder.layout) && !create) {
    if (database === "file") refuseLostDatabase(folder);
    throw usage(`There is no condarium data in ${root}. Start the server with this folder once, or set --data.`);
  }
  makePrivate(root);
  for (const name of ENTRIES) checkEntry(root, name);
  if (database === "server") claimForServer(folder);
  checkLayout(folder.layout);
  if (database === "file") refuseLostDatabase(folder);
  return folder;
}

/** The absolute path of a data folder without links; a missing one is created with `create`. */
function folderAt(path: string, { create }: { readonly create: boolean }): string {
  const root = resolveLinks(path);
  if (create) makeFolder(root);
  // A missing folder can be below a link.
  return resolveLinks(root);
}

function makeFolder(root: string): void {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw usage(`The data folder ${root} cannot be created: ${reason(error)}`);
  }
}

/**
 * Follows links. A process resolves the path of its data folder once, so that a link that later points elsewhere cannot
 * mix two folders. Returns the absolute path when nothing is there. Errors: `usage` for a link that leads nowhere.
 */
export function resolveLinks(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch (error) {
    if (!isLink(absolute)) return absolute;
    throw usage(`${absolute} is a link that leads to no folder: ${reason(error)}. Create it, or set another --data.`);
  }
}

/** Refuses an entry of the wrong kind, which another user put there, and one without access, which would fail later. */
function checkEntry(root: string, name: string): void {
  const path = join(root, name);
  const info = statOrRefuse(path);
  if (!info) return;
  const remedy = DERIVED.test(name) ? " The server can rebuild its contents: stop the server, then delete it." : "";
  const isFolder = FOLDER_NAMES.has(name);
  if (isFolder ? !info.isDirectory() : !info.isFile()) {
    const kinds = isFolder ? "a folder, not a link or a file" : "a file, not a link or a folder";
    throw usage(`${path} must be ${kinds}.${remedy || " Restore the original, from a backup if necessary."}`);
  }
  requireAccess(path, info, remedy);
}

function requireAccess(path: string, info: Stats | undefined, remedy: string): void {
  const { R_OK, W_OK, X_OK } = constants;
  try {
    accessSync(path, info?.isDirectory() === true ? R_OK | W_OK | X_OK : R_OK | W_OK);
  } catch (error) {
    // SQLite deletes a log when the last process closes its database: a missing file needs no access.
    if (hasCode(error, "ENOENT")) return;
    throw usage(`${path} cannot be used: ${whyNot(error, info)}${remedy}`);
  }
}

function whyNot(error: unknown, info: Stats | undefined): string {
  if (hasCode(error, "EROFS")) return "its file system is read-only. Make it writable.";
  if (!hasCode(error, "EACCES") || !info) return `${reason(error)}.`;
  const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
  const current = process.getuid?.() ?? "?";
  const fix = info.uid === current ? "Give this user read and write permission." : "Run condarium as that user.";
  return `it belongs to user ${info.uid} and has mode ${mode}, but condarium runs as user ${current}. ${fix}`;
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  } catch {
    return false;
  }
}

function statOrRefuse(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw usage(`${path} cannot be examined: ${reason(error)}.`);
  }
}

/** `tmp` is created after the database, so one existed if `tmp` does: a new empty database would hide every package. */
function refuseLostDatabase({ temporary, database }: DataFolder): void {
  if (!existsSync(temporary)) return;
  if ((statSync(database, { throwIfNoEntry: false })?.size ?? 0) > 0) return;
  throw usage(`${database} is missing or empty: restore it from a backup, or start with an empty data folder.`);
}

/** Its packages would be missing from the other database, and `gc` would delete them. */
function refuseSecondDatabase({ root, database }: DataFolder): void {
  if (!existsSync(database)) return;
  throw usage(
    `${root} has a database of its own (${database}). To move it to the database server, back it up and restore it with another --data; to use it, start without --database.`,
  );
}

/** Its rows are elsewhere: a new database in the folder would hide every package. */
function refuseServerFolder({ root, server }: DataFolder): void {
  if (!existsSync(server)) return;
  throw usage(
    `The database of ${root} is on a PostgreSQL server: set --database to its URL. To move it into a folder, back it up and restore it without --database and with another --data.`,
  );
}

/** The folder of a database file that is missing has packages that the server's database does not know. */
function claimForServer({ root, database, layout, server }: DataFolder): void {
  if (existsSync(server)) return;
  if (existsSync(layout))
    throw usage(
      `${root} had a database of its own (${database}), which is missing: restore it from a backup, or set another --data.`,
    );
  writeOnce(server, "The database of this folder is on a PostgreSQL server.\n");
}

function makePrivate(root: string): void {
  const info = lstatSync(root);
  if (!info.isDirectory()) throw usage(`${root} is not a folder.`);
  if ((info.mode & 0o077) === 0) return;
  try {
    chmodSync(root, 0o700);
  } catch {
    throw usage(
      `Other users can read ${root}, and only its owner (user ${info.uid}) can change that: set its mode to 0700, or make user ${process.getuid?.() ?? "?"} its owner.`,
    );
  }
}

function checkLayout(path: string): void {
  if (!existsSync(path)) writeOnce(path, `${LAYOUT}\n`);
  const layout = Number(readFileSync(path, "utf8").trim());
  if (!Number.isInteger(layout) || layout < 1)
    throw usage(`${path} is damaged: it must contain the layout number, which is ${LAYOUT} for this condarium.`);
  if (layout > LAYOUT)
    throw usage(`The data folder has layout ${layout}; this condarium supports ${LAYOUT}. Use a newer condarium.`);
}

function writeOnce(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600, flush: true });
  } catch (error) {
    throw usage(`The data folder cannot be written: ${reason(error)}`);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
