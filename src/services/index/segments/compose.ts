// Joins segments into a document: one text, in three forms, identified without being read.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { DerivedSegments, SegmentSummary } from "../../../models/index/segments.ts";
import { createSha256, sha256Hex } from "../../../modules/hash.ts";
import {
  compressBzip2Piece,
  MAX_BZIP2_PIECE,
  spliceBzip2,
  type Bzip2Piece,
} from "../../../modules/splice/bzip2-stream.ts";
import {
  compressPiece,
  decompressPiece,
  PAD,
  SEPARATOR,
  ZSTD_LEVEL,
  zstdStretches,
  type ZstdPiece,
} from "../../../modules/splice/zstd-frame.ts";
import type { Form } from "../documents.ts";
import { CODEC } from "./codec.ts";
import type { DerivedDraft } from "../../../modules/storage/derived-files.ts";
import type { Layout } from "./layout.ts";
import type { Pause } from "../steps/long-work.ts";
import { entriesIn } from "./entries.ts";

/** Where segments come from. */
export type SegmentSource = Pick<DerivedSegments, "segments" | "blocks" | "withoutBzip2" | "bzip2" | "setBzip2">;

/** A stretch of a document. One of the same document with the same key has the same bytes. */
export type Chunk = { readonly key: string | undefined; bytes(): Uint8Array };

export type Composition = {
  /** Of codec, segments and frame: it stands for the exact bytes. */
  readonly hash: string;
  /** Bytes of the text. */
  readonly textSize: number;
  /** The document from its beginning to its end, each chunk made when it is asked for. */
  chunks(): Iterable<Chunk>;
  /** A file that holds the document already. */
  readonly draft?: DerivedDraft;
};

/** The document's bytes, made as they are asked for. */
export function* bytesOf({ chunks }: Pick<Composition, "chunks">): Generator<Uint8Array, void, undefined> {
  for (const chunk of chunks()) yield chunk.bytes();
}

export function composeSegmented(
  derived: SegmentSource,
  scope: IndexScope,
  layout: Layout,
  options: { readonly form: Form; readonly yanked: readonly string[] },
): Composition {
  const pieces = piecesOf(derived, scope, layout, options.yanked);
  const { form } = options;
  const identity = pieces.map((piece) => (piece.kind === "text" ? piece.text : piece.row.hash));
  return {
    hash: sha256Hex(JSON.stringify([CODEC, form, identity])),
    textSize: pieces.reduce((sum, piece) => sum + joint(piece).byteLength + sizeOf(piece), 0),
    chunks: () => {
      switch (form) {
        case "json":
          return jsonChunks(derived, pieces);
        case "zst":
          return zstdChunks(derived, pieces);
        case "bz2":
          return eachAsChunk(bzip2Parts(derived, pieces));
      }
    },
  };
}

/** A document that is made as a whole, and so is identified by its text, of which `parts` are the same each time. */
export function wholeDocument(parts: () => Iterable<string>, form: Form): Composition {
  const hash = createSha256().update(JSON.stringify([CODEC, form]));
  let textSize = 0;
  for (const part of parts()) {
    hash.update(part);
    textSize += Buffer.byteLength(part);
  }
  return { hash: hash.digest("hex"), textSize, chunks: () => wholeChunks(parts(), form) };
}

function* wholeChunks(parts: Iterable<string>, form: Form): Generator<Chunk, void, undefined> {
  if (form === "json") for (const part of parts) yield chunkOf(Buffer.from(part));
  else yield chunkOf(packed(Buffer.from([...parts].join("")), form));
}

/** Such as stands where no other document has it. */
export function chunkOf(bytes: Uint8Array): Chunk {
  return { key: undefined, bytes: () => bytes };
}

function packed(bytes: Uint8Array, form: "zst" | "bz2"): Uint8Array {
  if (form === "zst") return Bun.zstdCompressSync(bytes, { level: ZSTD_LEVEL });
  return Buffer.concat([...spliceBzip2([compressBzip2(bytes)])]);
}

type Piece =
  | { readonly kind: "text"; readonly text: string; readonly isFirst: boolean }
  | { readonly kind: "segment"; readonly row: SegmentSummary; readonly isFirst: boolean };

function piecesOf(derived: SegmentSource, scope: IndexScope, layout: Layout, yanked: readonly string[]): Piece[] {
  const segments = layout.groups.map((group) =>
    derived
      .segments({ ...scope, group: group.name })
      .map((row): Piece => ({ kind: "segment", row, isFirst: row.start === "" })),
  );
  // The maps that not every document has come last.
  const isWhole = layout.groups.some((group, at) => !group.always && (segments[at]?.length ?? 0) > 0);
  const shown = isWhole ? layout.groups.length : layout.groups.filter((group) => group.always).length;
  return layout
    .frame(scope.section, yanked, shown)
    .flatMap((text, at): Piece[] => [{ kind: "text", text, isFirst: at === 0 }, ...(segments[at] ?? [])]);
}

const NOTHING = new Uint8Array(0);

/** What stands before a piece: a comma between two segments of a group, white space elsewhere, nothing at the start. */
function joint(piece: Piece): Uint8Array {
  if (piece.kind === "text") return piece.isFirst ? NOTHING : PAD;
  return piece.isFirst ? PAD : SEPARATOR;
}

function sizeOf(piece: Piece): number {
  return piece.kind === "text" ? Buffer.byteLength(piece.text) : piece.row.size;
}

/** Texts are short and differ from one document to the next. */
function keyOf(piece: Piece): string | undefined {
  return piece.kind === "text" ? undefined : `${piece.isFirst ? "first" : "later"} ${piece.row.hash}`;
}

function read(derived: SegmentSource, piece: Piece): ZstdPiece {
  if (piece.kind === "text") return compressPiece(Buffer.from(piece.text));
  const { row } = piece;
  return { blocks: derived.blocks(row.id), size: row.size, windowSize: row.window };
}

function jsonChunks(derived: SegmentSource, pieces: readonly Piece[]): Chunk[] {
  const text = (piece: Piece): Uint8Array =>
    piece.kind === "text" ? Buffer.from(piece.text) : decompressPiece(read(derived, piece));
  return pieces.map((piece) => ({ key: keyOf(piece), bytes: () => Buffer.concat([joint(piece), text(piece)]) }));
}

function zstdChunks(derived: SegmentSource, pieces: readonly Piece[]): Chunk[] {
  const stretches = zstdStretches(
    pieces.map((piece) => ({
      joint: joint(piece),
      size: sizeOf(piece),
      windowSize: piece.kind === "text" ? sizeOf(piece) : piece.row.window,
      open: () => read(derived, piece),
    })),
  );
  const keys = [undefined, ...pieces.map(keyOf), undefined];
  return stretches.map((bytes, at) => ({ key: keys[at], bytes }));
}

function* eachAsChunk(parts: Iterable<Uint8Array>): Generator<Chunk, void, undefined> {
  for (const part of parts) yield chunkOf(part);
}

/** The encoder takes seconds for a segment in which long stretches come again, and records are where these end. */
export const BZIP2_ENTRY_BYTES: number = 16 * 1024;

/**
 * Makes the pieces of bzip2 that are missing; answers false when there is a record too long for it. A piece holds the
 * joint before it, so that pieces are simply put one after the other.
 */
export function* makeBzip2(
  derived: SegmentSource,
  scope: IndexScope,
  layout: Layout,
): Generator<Pause, boolean, undefined> {
  for (const group of layout.groups) {
    const target = { ...scope, group: group.name };
    const missing = new Set(derived.withoutBzip2(target));
    if (missing.size === 0) continue;
    for (const row of derived.segments(target)) {
      if (!missing.has(row.id)) continue;
      const piece: Piece = { kind: "segment", row, isFirst: row.start === "" };
      const text = decompressPiece(read(derived, piece));
      if (entriesIn(Buffer.from(text).toString(), group).some((entry) => entry.text.length > BZIP2_ENTRY_BYTES))
        return false;
      derived.setBzip2(row.id, compressBzip2(Buffer.concat([joint(piece), text])));
      yield "step";
    }
  }
  return true;
}

function bzip2Parts(derived: SegmentSource, pieces: readonly Piece[]): Iterable<Uint8Array> {
  function* each(): Generator<Bzip2Piece> {
    for (const piece of pieces) {
      if (piece.kind === "text") {
        yield compressBzip2(Buffer.concat([joint(piece), Buffer.from(piece.text)]));
        continue;
      }
      const known = derived.bzip2(piece.row.id);
      if (!known) throw new Error("a piece of bzip2 has not been made");
      yield known;
    }
  }
  return spliceBzip2(each());
}

/** One long record can make a text larger than a block. */
function compressBzip2(text: Uint8Array): Bzip2Piece {
  const pieces: Bzip2Piece[] = [];
  for (let at = 0; at < text.byteLength; at += MAX_BZIP2_PIECE) {
    pieces.push(compressBzip2Piece(text.subarray(at, at + MAX_BZIP2_PIECE)));
  }
  return Buffer.concat(pieces);
}
