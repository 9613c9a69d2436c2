// A push parser for tar (ustar, GNU long names, pax). Buffers only headers and the contents that the visitor requests.
// Hand-written: modern-tar reports members of unknown types as files, tar-stream reads members after the end mark.

import type { Meter } from "./limits.ts";
import { pathProblem } from "./member-path.ts";
import { readPaxRecords } from "./pax.ts";
import { BLOCK, readTarHeader, type TarHeader, tarRefusal } from "./tar-header.ts";
import { describeMember, type Pending, readName, type TarMember } from "./tar-member.ts";

export type TarVisitor = {
  /** Called for each member; returns `true` to receive the contents of a file. */
  member(member: TarMember): boolean;
  contents(member: TarMember, bytes: Uint8Array): void;
};

export type TarParser = {
  /** The caller can reuse the chunk afterwards. */
  push(chunk: Uint8Array): void;
  /** Refuses a truncated archive. */
  end(): void;
};

type State = {
  readonly block: Uint8Array;
  filled: number;
  /** Bytes still to arrive: of the current member, then of its padding. */
  left: number;
  padding: number;
  /** Collects the contents of the current member; `finish` receives them once complete. */
  sink: Uint8Array | undefined;
  finish: (bytes: Uint8Array) => void;
  zeroBlocks: number;
  pending: Pending;
};

const MAX_PAX = 1024 ** 2;
const MAX_LONG_NAME = 8192;

/** Reads a complete archive from the chunks of a decoder. */
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
      const isComplete = state.zeroBlocks >= 2 && state.filled === 0;
      if (!isComplete) throw tarRefusal("tar-cut", "", "The tar archive ends without its end mark.");
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
      throw tarRefusal("tar-ambiguous-header", "", "The last header describes a member, but none follows.");
    }
    return;
  }
  if (state.zeroBlocks > 0) {
    throw tarRefusal(
      "tar-data-after-end",
      "",
      "Data follows the end mark of the tar archive; some readers ignore it, others read it.",
    );
  }
  meter.addMember();
  const header = readTarHeader(block);
  if (!readExtension(state, header)) readMember(state, header, visitor);
}

/** Reads a header that describes the next member; false when the header is a member itself. */
function readExtension(state: State, header: TarHeader): boolean {
  const { pending } = state;
  const requireFormat = (...formats: readonly TarHeader["format"][]): void => {
    if (formats.includes(header.format)) return;
    const message = "A header that describes a member has the magic of another tar format, and some readers skip it.";
    throw tarRefusal("tar-magic", "", message);
  };
  const collect = (key: keyof Pending, limit: number, finish: (bytes: Uint8Array) => void): true => {
    if (pending[key] !== undefined) {
      throw tarRefusal("tar-ambiguous-header", "", "Two headers of the same type describe one member.");
    }
    if (header.size > limit) {
      throw tarRefusal("tar-header-too-large", "", `A header that describes a member has more than ${limit} bytes.`);
    }
    expect(state, header.size, finish);
    return true;
  };
  switch (header.type) {
    case "x":
      requireFormat("ustar");
      return collect("pax", MAX_PAX, (bytes) => void (pending.pax = readPaxRecords(bytes, false)));
    case "g":
      requireFormat("ustar");
      checkGlobal(header, pending);
      return collect("global", MAX_PAX, (bytes) => void (pending.global = readPaxRecords(bytes, true)));
    case "L":
      requireFormat("gnu", "ustar");
      return collect("longName", MAX_LONG_NAME, (bytes) => void (pending.longName = readLongName(bytes)));
    case "K":
      requireFormat("gnu", "ustar");
      return collect("longLink", MAX_LONG_NAME, (bytes) => void (pending.longLink = readLongName(bytes)));
    default:
      return false;
  }
}

/** rattler drops the earlier headers of the next member, and takes this one for a member: it creates its folders. */
function checkGlobal(header: TarHeader, pending: Pending): void {
  if (Object.keys(pending).length > 0) {
    throw tarRefusal("tar-global-header", "", "A global pax header is between a member and its other headers.");
  }
  const name = readName(header.path).replace(/^(?:\.\/)+/, "");
  const problem = name.includes("/") ? "contains a folder" : pathProblem(name);
  if (problem !== undefined) {
    throw tarRefusal("tar-global-header", name, `The name of a global pax header ${problem}.`);
  }
}

function readMember(state: State, header: TarHeader, visitor: TarVisitor): void {
  const member = describeMember(header, state.pending);
  state.pending = {};
  const isWanted = member.path !== "" && visitor.member(member);
  if (isWanted && member.type === "file") expect(state, member.size, (bytes) => visitor.contents(member, bytes));
  else skip(state, member.size);
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

/** Some readers read past the size up to a zero byte, so the name must end with one. */
function readLongName(bytes: Uint8Array): string {
  if (bytes.at(-1) === 0) return readName(bytes.subarray(0, -1));
  throw tarRefusal("tar-bad-name", Buffer.from(bytes).toString("latin1"), "A long name does not end with a zero byte.");
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
