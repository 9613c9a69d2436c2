// A push parser for tar (ustar, GNU long names, pax): bytes in, members out, nothing held but what is asked for.

import type { Meter } from "./limits.ts";
import { decodeUtf8, pathProblem, targetProblem } from "./member-path.ts";
import {
  BLOCK,
  type PaxRecords,
  readPaxRecords,
  readTarHeader,
  sparse,
  type TarHeader,
  tarRefusal,
} from "./tar-header.ts";

export type TarMember = {
  /** Without `./` in front and `/` behind. */
  readonly path: string;
  /** Whether the archive writes it with `./` in front. */
  readonly isDotted: boolean;
  readonly type: "file" | "directory" | "symlink" | "hardlink";
  readonly size: number;
  readonly mode: number;
  /** The target of a link, `""` otherwise. */
  readonly link: string;
};

export type TarVisitor = {
  /** Told of each member; `true` asks for the contents of a file. */
  member(member: TarMember): boolean;
  contents(member: TarMember, bytes: Uint8Array): void;
};

export type TarParser = {
  /** The chunk is not kept. */
  push(chunk: Uint8Array): void;
  /** Refuses an archive that is not whole. */
  end(): void;
};

/** What the headers before a member say about it. */
type Pending = { pax?: PaxRecords; global?: PaxRecords; longName?: string; longLink?: string };

type State = {
  readonly block: Uint8Array;
  filled: number;
  /** Bytes of the current member that are still to come, then those of its padding. */
  left: number;
  padding: number;
  /** Where the bytes of the current member go, and what is done with them. */
  sink: Uint8Array | undefined;
  finish: (bytes: Uint8Array) => void;
  zeroBlocks: number;
  pending: Pending;
};

const TYPES: Readonly<Record<string, TarMember["type"]>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
};

const MAX_PAX = 1024 ** 2;
const MAX_LONG_NAME = 8192;
/** The largest size that fits the header's octal digits. */
const MAX_OCTAL_SIZE = 8 ** 11 - 1;

/** Reads a whole archive from the chunks of a decoder. */
export async function walkTar(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  visitor: TarVisitor,
  meter: Meter,
): Promise<void> {
  const parser = createTarParser(visitor, meter);
  for await (const chunk of chunks) {
    meter.addBytes(chunk.length);
    parser.push(chunk);
  }
  parser.end();
}

export function createTarParser(visitor: TarVisitor, meter: Meter): TarParser {
  const state: State = {
    block: new Uint8Array(BLOCK),
    filled: 0,
    left: 0,
    padding: 0,
    sink: undefined,
    finish: () => {},
    zeroBlocks: 0,
    pending: {},
  };
  return {
    push(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (state.left > 0) at += takeContents(state, chunk, at);
        else if (state.padding > 0) at += takePadding(state, chunk, at);
        else at += takeHeader(state, chunk, at, visitor, meter);
      }
    },
    end() {
      const isWhole = state.zeroBlocks >= 2 && state.filled === 0;
      if (!isWhole) throw tarRefusal("tar-cut", "", "The tar archive ends without its end mark.");
    },
  };
}

function takeContents(state: State, chunk: Uint8Array, at: number): number {
  const count = Math.min(state.left, chunk.length - at);
  state.sink?.set(chunk.subarray(at, at + count), state.sink.length - state.left);
  state.left -= count;
  if (state.left === 0) finishContents(state);
  return count;
}

function finishContents(state: State): void {
  const { sink, finish } = state;
  state.sink = undefined;
  if (sink !== undefined) finish(sink);
}

function takePadding(state: State, chunk: Uint8Array, at: number): number {
  const count = Math.min(state.padding, chunk.length - at);
  state.padding -= count;
  return count;
}

function takeHeader(state: State, chunk: Uint8Array, at: number, visitor: TarVisitor, meter: Meter): number {
  if (state.filled === 0 && chunk.length - at >= BLOCK) {
    readBlock(state, chunk.subarray(at, at + BLOCK), visitor, meter);
    return BLOCK;
  }
  const count = Math.min(BLOCK - state.filled, chunk.length - at);
  state.block.set(chunk.subarray(at, at + count), state.filled);
  state.filled += count;
  if (state.filled === BLOCK) {
    state.filled = 0;
    readBlock(state, state.block, visitor, meter);
  }
  return count;
}

function readBlock(state: State, block: Uint8Array, visitor: TarVisitor, meter: Meter): void {
  if (isZero(block)) {
    state.zeroBlocks += 1;
    if (Object.keys(state.pending).length > 0) {
      throw tarRefusal("tar-ambiguous-header", "", "The last header describes a member that does not follow.");
    }
    return;
  }
  if (state.zeroBlocks > 0) {
    throw tarRefusal(
      "tar-data-after-end",
      "",
      "Data follows the end mark of the tar archive, which readers ignore or read on.",
    );
  }
  meter.addMember();
  const header = readTarHeader(block);
  if (!readExtension(state, header)) readMember(state, header, visitor);
}

/** Headers that describe the next member; false for members. */
function readExtension(state: State, header: TarHeader): boolean {
  const { pending } = state;
  const collect = (key: keyof Pending, limit: number, finish: (bytes: Uint8Array) => void): true => {
    if (pending[key] !== undefined) {
      throw tarRefusal("tar-ambiguous-header", "", "Two headers of one kind describe the same member.");
    }
    if (header.size > limit) {
      throw tarRefusal("tar-header-too-large", "", `A header that describes a member has more than ${limit} bytes.`);
    }
    expect(state, header.size, finish);
    return true;
  };
  switch (header.type) {
    case "x":
      return collect("pax", MAX_PAX, (bytes) => void (pending.pax = readPaxRecords(bytes, false)));
    case "g":
      return collect("global", MAX_PAX, (bytes) => void (pending.global = readPaxRecords(bytes, true)));
    case "L":
      return collect("longName", MAX_LONG_NAME, (bytes) => void (pending.longName = readLongName(bytes)));
    case "K":
      return collect("longLink", MAX_LONG_NAME, (bytes) => void (pending.longLink = readLongName(bytes)));
    default:
      return false;
  }
}

function readMember(state: State, header: TarHeader, visitor: TarVisitor): void {
  const { pax = {}, longName, longLink } = state.pending;
  state.pending = {};
  const rawPath = choose(pax.path, longName, header.path);
  const type = TYPES[header.type];
  if (header.type === "S") throw sparse(rawPath);
  if (type === undefined) {
    throw tarRefusal("tar-unknown-type", rawPath, "The member is neither a file, a directory nor a link.");
  }
  const size = readSize(header, pax, type, rawPath);
  const { path, isDotted } = readPath(rawPath, type);
  const isLink = type === "symlink" || type === "hardlink";
  const link = isLink ? readLink(choose(pax.linkpath, longLink, header.link), type, path) : "";
  const member: TarMember = { path, isDotted, type, size, mode: header.mode, link };
  const isWanted = path !== "" && visitor.member(member);
  if (isWanted && type === "file") expect(state, size, (bytes) => visitor.contents(member, bytes));
  else skip(state, size);
}

function expect(state: State, size: number, finish: (bytes: Uint8Array) => void): void {
  skip(state, size);
  state.sink = new Uint8Array(size);
  state.finish = finish;
  if (size === 0) finishContents(state);
}

function skip(state: State, size: number): void {
  state.left = size;
  state.padding = (BLOCK - (size % BLOCK)) % BLOCK;
}

function choose(pax: string | undefined, gnu: string | undefined, header: Uint8Array): string {
  if (pax !== undefined && gnu !== undefined) {
    throw tarRefusal("tar-ambiguous-header", pax, "A member has one name by pax and one by GNU tar.");
  }
  return pax ?? gnu ?? readText(header);
}

/** Some readers read on behind the size until a zero byte, so there must be one. */
function readLongName(bytes: Uint8Array): string {
  if (bytes.at(-1) === 0) return readText(bytes.subarray(0, -1));
  throw tarRefusal("tar-bad-name", Buffer.from(bytes).toString("latin1"), "A long name has no end.");
}

function readText(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text !== undefined) return text;
  throw tarRefusal("tar-bad-name", Buffer.from(bytes).toString("latin1"), "The name of the member is not UTF-8.");
}

/** A size that two readers could take differently moves where the next header is. */
function readSize(header: TarHeader, pax: PaxRecords, type: TarMember["type"], path: string): number {
  const size = pax.size ?? header.size;
  if (size !== header.size && (header.size !== 0 || size <= MAX_OCTAL_SIZE)) {
    throw tarRefusal("tar-ambiguous-size", path, "The pax header and the header of the member give different sizes.");
  }
  if (size > 0 && type !== "file") {
    throw tarRefusal("tar-ambiguous-size", path, `The member is a ${type} and yet has contents.`);
  }
  return size;
}

function readPath(raw: string, type: TarMember["type"]): { path: string; isDotted: boolean } {
  const isDotted = raw.startsWith("./");
  const bare = isDotted ? raw.slice(2) : raw;
  const path = type === "directory" && bare.endsWith("/") ? bare.slice(0, -1) : bare;
  if (type === "directory" && (raw === "./" || raw === ".")) return { path: "", isDotted };
  const problem = pathProblem(path);
  if (problem !== undefined) throw tarRefusal("tar-bad-name", raw, `The path of the member ${problem}.`);
  return { path, isDotted };
}

function readLink(raw: string, type: "symlink" | "hardlink", path: string): string {
  const link = type === "hardlink" && raw.startsWith("./") ? raw.slice(2) : raw;
  const problem = type === "hardlink" ? pathProblem(link) : targetProblem(link);
  if (problem !== undefined) throw tarRefusal("tar-bad-link", path, `The target of the link ${problem}.`);
  return link;
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
