// Documents as files of this machine: made from the database, named by their content, and never made durable.

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
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { randomHex } from "../ids.ts";

/**
 * A folder is a path of plain segments, the first of them the number of a channel; one document lies in it. A file's name
 * tells its size too: one that has been cut short is no document.
 */
export type DerivedFiles = {
  pathOf(folder: string, hash: string, size: number): string;
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** The same for one whose size is known, which costs less. */
  has(folder: string, hash: string, size: number): boolean;
  /** Whether there is a file that is not as long as it was. */
  isCut(folder: string, hash: string): boolean;
  /** A file to copy from; undefined when there is no such file. It can be read until it is closed, even once removed. */
  open(folder: string, hash: string): DerivedSource | undefined;
  /** Writes the parts one after the other; a reader sees the whole file or none. Answers the bytes. */
  write(folder: string, hash: string, parts: Iterable<DerivedPart>): number;
  /** A file that is written bit by bit, and that nobody sees before it is kept. */
  draft(folder: string): DerivedDraft;
  remove(folder: string, hash: string): void;
  /**
   * Removes what nobody will read, for the start, when nobody reads yet: all of channels that have gone, all but the
   * newest of each document, and all there is when the machine has been started anew, as it may have lost what it wrote.
   */
  sweep(isChannel: (id: number) => boolean): void;
};

export type DerivedDraft = {
  /** An extent's source has to stay open until the draft is kept. */
  add(part: DerivedPart): void;
  readonly byteLength: number;
  /** All that has been added, in pieces of a bounded size. */
  read(): Iterable<Uint8Array>;
  /** Gives the file its name. Answers the bytes. */
  keep(hash: string): number;
  /** Removes the file, if it has not been kept. */
  drop(): void;
};

export type DerivedSource = { readonly file: number; close(): void };
/** Bytes, or an extent of another file. */
export type DerivedPart = Uint8Array | DerivedExtent;
export type DerivedExtent = { readonly source: DerivedSource; readonly offset: number; readonly byteLength: number };

const BATCH_BYTES = 256 * 1024;
/** That are copied at once. */
const EXTENT_BYTES = 4 * 1024 ** 2;
const HASH = /^[0-9a-f]{64}$/;
const NAME = /^[0-9a-f]{64}-\d+$/;
const FOLDER = /^\d+(?:\/[\w-][\w.-]*)+$/;
/** Linux names each start of a machine; elsewhere nothing is taken to have outlived one. */
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
    isCut: (folder, hash) => sizesOf(folder, hash).some((size) => !has(folder, hash, size)),
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
    remove: (folder, hash) => {
      for (const size of sizesOf(folder, hash)) rmSync(pathOf(folder, hash, size), { force: true });
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

/** Whether the machine has not been started since the last time; a crash of the process alone loses nothing it wrote. */
function noteBoot(derived: string): boolean {
  const path = join(derived, "boot");
  const now = textOf(BOOT_ID);
  if (now !== undefined && textOf(path) === now) return true;
  try {
    mkdirSync(derived, { recursive: true, mode: 0o700 });
    writeFileSync(path, now ?? "", { mode: 0o600 });
  } catch {
    // A full disk stops no start: the note only saves work.
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

/** Small parts are joined first, and stretches that follow each other: a document of a million records has thousands. */
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
        yield* piecesOf(opened, total);
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

function* piecesOf(file: number, size: number): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < size;) {
    const piece = Buffer.allocUnsafe(Math.min(BATCH_BYTES, size - at));
    const read = readSync(file, piece, 0, piece.byteLength, at);
    if (read === 0) throw new Error("a derived file is shorter than it was");
    yield piece.subarray(0, read);
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
