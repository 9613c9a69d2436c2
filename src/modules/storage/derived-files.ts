// Index documents as local files: derived from the database, named by the hash of their content, never made durable.

import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { randomHex } from "../ids.ts";

/**
 * A folder is a path of plain segments, the first of them the number of a channel; it holds the files of one document.
 * A file's name contains its size, by which a truncated file is recognized and ignored.
 */
export type DerivedFiles = {
  pathOf(folder: string, hash: string, size: number): string;
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** Whether the file exists with this size; cheaper than `size()`. */
  has(folder: string, hash: string, size: number): boolean;
  /** Whether a file exists whose size differs from the size in its name. */
  isTruncated(folder: string, hash: string): boolean;
  /** Opens a file to copy from; undefined when it does not exist. It stays readable until closed, even if removed. */
  open(folder: string, hash: string): DerivedSource | undefined;
  /** Writes the parts in order and returns the size in bytes; readers see the complete file or none. */
  write(folder: string, hash: string, parts: Iterable<DerivedPart>): number;
  /** Starts a file that is written in steps; readers do not see it before `keep()`. */
  draft(folder: string): DerivedDraft;
  /** `unlessAfter` (ms UTC) spares a file that was written or touched later: another process uses it again. */
  remove(folder: string, hash: string, options?: { readonly unlessAfter: number }): void;
  /** Tells other processes that an existing file is in use again; `at` in ms UTC. */
  touch(folder: string, hash: string, size: number, at: number): void;
  /**
   * Removes unneeded files at start, before anyone reads. Removes the files of deleted channels, all but the newest
   * file of each document, and all files after a reboot of the machine, which can lose written data.
   */
  sweep(isChannel: (id: number) => boolean): void;
};

export type DerivedDraft = {
  /** The source of an extent must stay open until `keep()` returns. */
  add(part: DerivedPart): void;
  readonly byteLength: number;
  /** Yields the bytes added so far, in chunks of bounded size. */
  read(): Iterable<Uint8Array>;
  /** Gives the file its final name and returns its size in bytes. */
  keep(hash: string): number;
  /** Removes the file unless `keep()` has renamed it. */
  drop(): void;
};

export type DerivedSource = { readonly file: number; close(): void };
/** Bytes, or an extent of another file. */
export type DerivedPart = Uint8Array | DerivedExtent;
export type DerivedExtent = { readonly source: DerivedSource; readonly offset: number; readonly byteLength: number };

const BATCH_BYTES = 256 * 1024;
/** Largest extent that adjacent extents are merged into. */
const EXTENT_BYTES = 4 * 1024 ** 2;
const HASH = /^[0-9a-f]{64}$/;
const NAME = /^[0-9a-f]{64}-\d+$/;
const FOLDER = /^\d+(?:\/[\w-][\w.-]*)+$/;
/** Linux gives each boot an ID; other systems have none, so there every start counts as a reboot. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

export function createDerivedFiles(root: string): DerivedFiles {
  const derived = join(root, "derived");
  const folderAt = (folder: string): string => {
    if (!FOLDER.test(folder)) throw new Error("not the name of a derived file");
    return join(derived, folder);
  };
  const pathOf = (folder: string, hash: string, size: number): string => {
    if (!HASH.test(hash) || !Number.isSafeInteger(size) || size < 0) throw new Error("not the name of a derived file");
    return join(folderAt(folder), `${hash}-${size}`);
  };
  const has = (folder: string, hash: string, size: number): boolean =>
    statSync(pathOf(folder, hash, size), { throwIfNoEntry: false })?.size === size;
  const sizesOf = (folder: string, hash: string): number[] =>
    namesIn(folderAt(folder)).flatMap((name) => (name.startsWith(`${hash}-`) ? [Number(name.slice(65))] : []));
  const sizeOf = (folder: string, hash: string): number | undefined =>
    sizesOf(folder, hash).find((size) => has(folder, hash, size));
  return {
    pathOf,
    has,
    size: sizeOf,
    isTruncated: (folder, hash) => sizesOf(folder, hash).some((size) => !has(folder, hash, size)),
    open: (folder, hash) => {
      const size = sizeOf(folder, hash);
      if (size === undefined) return undefined;
      try {
        const file = openSync(pathOf(folder, hash, size), "r");
        return { file, close: () => closeSync(file) };
      } catch {
        return undefined;
      }
    },
    write: (folder, hash, parts) => {
      const draft = createDraft((name, size) => pathOf(folder, name, size));
      try {
        for (const part of parts) draft.add(part);
        return draft.keep(hash);
      } finally {
        draft.drop();
      }
    },
    draft: (folder) => createDraft((hash, size) => pathOf(folder, hash, size)),
    remove: (folder, hash, { unlessAfter } = { unlessAfter: Number.POSITIVE_INFINITY }) => {
      for (const path of sizesOf(folder, hash).map((size) => pathOf(folder, hash, size))) {
        const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
        if (modified <= unlessAfter) rmSync(path, { force: true });
      }
    },
    touch: (folder, hash, size, at) => {
      try {
        utimesSync(pathOf(folder, hash, size), at / 1000, at / 1000);
      } catch {
        // Another process has just deleted the file; whoever opens it rebuilds it.
      }
    },
    sweep: (isChannel) => {
      const isSameBoot = noteBoot(derived);
      for (const channel of subfolders(derived)) {
        const folder = join(derived, channel);
        if (isSameBoot && isChannel(Number(channel))) keepNewest(folder);
        else rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** Whether the machine has not rebooted since the last call; a crash of the process alone loses no written data. */
function noteBoot(derived: string): boolean {
  const path = join(derived, "boot");
  const now = textOf(BOOT_ID);
  if (now !== undefined && textOf(path) === now) return true;
  try {
    mkdirSync(derived, { recursive: true, mode: 0o700 });
    writeFileSync(path, now ?? "", { mode: 0o600 });
  } catch {
    // A full disk must not prevent the start: the file only saves work.
  }
  return false;
}

function keepNewest(folder: string): void {
  for (const name of subfolders(folder)) keepNewest(join(folder, name));
  const files = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => ({ name, at: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  const newest = files.find(({ name }) => NAME.test(name));
  for (const file of files) if (file !== newest) rmSync(join(folder, file.name), { force: true });
}

/** Merges small parts and adjacent extents before writing: a document of a million records has thousands of them. */
function createDraft(pathOf: (hash: string, size: number) => string): DerivedDraft {
  const path = `${pathOf("0".repeat(64), 0)}.${randomHex(8)}`;
  let opened: number | undefined;
  let held: Uint8Array[] = [];
  let [total, bytes] = [0, 0];
  let extent: DerivedExtent | undefined;

  function open(): number {
    if (opened !== undefined) return opened;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    opened = openSync(path, "wx+", 0o600);
    return opened;
  }
  function flush(): void {
    const file = open();
    writeAll(file, Buffer.concat(held, bytes));
    held = [];
    bytes = 0;
    if (extent) copy(extent, file);
    extent = undefined;
  }
  function close(): void {
    if (opened !== undefined) closeSync(opened);
    opened = undefined;
  }

  return {
    get byteLength() {
      return total;
    },
    add: (part) => {
      total += part.byteLength;
      if (part instanceof Uint8Array) {
        if (extent) flush();
        held.push(part);
        bytes += part.byteLength;
        if (bytes >= BATCH_BYTES) flush();
        return;
      }
      if (extent && follows(extent, part) && extent.byteLength + part.byteLength <= EXTENT_BYTES) {
        extent = { ...extent, byteLength: extent.byteLength + part.byteLength };
      } else {
        flush();
        extent = part;
      }
    },
    read: function* () {
      if (opened === undefined) yield Buffer.concat(held, bytes);
      else {
        flush();
        yield* chunksOf(opened, total);
      }
    },
    keep: (hash) => {
      flush();
      close();
      renameSync(path, pathOf(hash, total));
      return total;
    },
    drop: () => {
      close();
      rmSync(path, { force: true });
    },
  };
}

function follows({ source, offset, byteLength }: DerivedExtent, next: DerivedExtent): boolean {
  return source === next.source && offset + byteLength === next.offset;
}

function* chunksOf(file: number, size: number): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < size;) {
    const chunk = Buffer.allocUnsafe(Math.min(BATCH_BYTES, size - at));
    const read = readSync(file, chunk, 0, chunk.byteLength, at);
    if (read === 0) throw new Error("a derived file is shorter than it was");
    yield chunk.subarray(0, read);
    at += read;
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.byteLength;) written += writeSync(file, bytes, written);
}

function copy({ source, offset, byteLength }: DerivedExtent, file: number): void {
  const buffer = Buffer.allocUnsafe(Math.min(BATCH_BYTES, byteLength));
  for (let done = 0; done < byteLength;) {
    const read = readSync(source.file, buffer, 0, Math.min(buffer.byteLength, byteLength - done), offset + done);
    if (read === 0) throw new Error("a derived file is shorter than it was");
    writeAll(file, buffer.subarray(0, read));
    done += read;
  }
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function subfolders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
