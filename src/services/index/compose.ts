// Joins segments into a document: one text, in three forms, identified without being read.

import type { Derived, DerivedPlace, SegmentPlace, SegmentSummary } from "../../models/derived.ts";
import { sha256Hex } from "../../modules/hash.ts";
import {
  compressBzip2Piece,
  MAX_BZIP2_PIECE,
  spliceBzip2,
  type Bzip2Piece,
} from "../../modules/splice/bzip2-stream.ts";
import {
  compressPiece,
  decompressPiece,
  PAD,
  SEPARATOR,
  spliceZstd,
  ZSTD_LEVEL,
  type ZstdPiece,
} from "../../modules/splice/zstd-frame.ts";
import { CODEC } from "./codec.ts";
import type { Family } from "./families.ts";

export type Form = "json" | "zst" | "bz2";

/** Where segments come from. */
export type SegmentSource = Pick<Derived, "segments" | "blocks" | "bzip2" | "setBzip2">;

export type Composition = {
  /** Of codec, segments and frame: it stands for the exact bytes. */
  readonly hash: string;
  /** Bytes of the text. */
  readonly textSize: number;
  /** The document's bytes, made as they are asked for. */
  parts(): Iterable<Uint8Array>;
};

export function composeSegmented(
  derived: SegmentSource,
  place: DerivedPlace,
  family: Family,
  options: { readonly form: Form; readonly yanked: readonly string[] },
): Composition {
  const pieces = piecesOf(derived, place, family, options.yanked);
  const { form } = options;
  const identity = pieces.map((piece) => (piece.kind === "text" ? piece.text : piece.row.hash));
  return {
    hash: sha256Hex(JSON.stringify([CODEC, form, identity])),
    textSize: pieces.reduce((sum, piece) => sum + joint(piece).byteLength + sizeOf(piece), 0),
    parts: () => {
      switch (form) {
        case "json":
          return jsonParts(derived, pieces);
        case "zst":
          return zstdParts(derived, pieces);
        case "bz2":
          return bzip2Parts(derived, pieces);
      }
    },
  };
}

/** A document that is made as a whole, and so is identified by its text. */
export function wholeDocument(text: string, form: Form): Composition {
  const bytes = Buffer.from(text);
  return {
    hash: sha256Hex(JSON.stringify([CODEC, form, text])),
    textSize: bytes.byteLength,
    parts: () => [packed(bytes, form)],
  };
}

function packed(bytes: Uint8Array, form: Form): Uint8Array {
  if (form === "json") return bytes;
  if (form === "zst") return Bun.zstdCompressSync(bytes, { level: ZSTD_LEVEL });
  return Buffer.concat([...spliceBzip2([compressBzip2(bytes)])]);
}

type SegmentPiece = {
  readonly kind: "segment";
  readonly place: SegmentPlace;
  readonly row: SegmentSummary;
  readonly isFirst: boolean;
};
type Piece = { readonly kind: "text"; readonly text: string; readonly isFirst: boolean } | SegmentPiece;

function piecesOf(derived: SegmentSource, place: DerivedPlace, family: Family, yanked: readonly string[]): Piece[] {
  const segments = family.groups.map((group) => {
    const target = { ...place, group: group.name };
    return derived
      .segments(target)
      .map((row): SegmentPiece => ({ kind: "segment", place: target, row, isFirst: row.start === "" }));
  });
  // The maps that not every document has come last.
  const isWhole = family.groups.some((group, at) => !group.always && (segments[at]?.length ?? 0) > 0);
  const shown = isWhole ? family.groups.length : family.groups.filter((group) => group.always).length;
  return family
    .frame(place.section, yanked, shown)
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

/** Hands out the blocks of segments in the order of the document, reading each group once from its beginning. */
function createBlockReader(derived: SegmentSource): (piece: SegmentPiece) => ZstdPiece {
  let group: string | undefined;
  let blocks: Iterator<Uint8Array> = [][Symbol.iterator]();
  return (piece) => {
    if (piece.place.group !== group) {
      group = piece.place.group;
      blocks = derived.blocks(piece.place)[Symbol.iterator]();
    }
    const next = blocks.next();
    if (next.done === true) throw new Error("a segment of the index has gone");
    const { size, window } = piece.row;
    return { blocks: next.value, size, windowSize: window };
  };
}

function* jsonParts(derived: SegmentSource, pieces: readonly Piece[]): Generator<Uint8Array> {
  const read = createBlockReader(derived);
  for (const piece of pieces) {
    yield joint(piece);
    yield piece.kind === "text" ? Buffer.from(piece.text) : decompressPiece(read(piece));
  }
}

function zstdParts(derived: SegmentSource, pieces: readonly Piece[]): Iterable<Uint8Array> {
  const read = createBlockReader(derived);
  return spliceZstd(
    pieces.map((piece) => ({
      joint: joint(piece),
      size: sizeOf(piece),
      windowSize: piece.kind === "text" ? sizeOf(piece) : piece.row.window,
      open: () => (piece.kind === "text" ? compressPiece(Buffer.from(piece.text)) : read(piece)),
    })),
  );
}

/** A piece of bzip2 holds the joint before it, so that pieces are simply put one after the other. */
function* bzip2Parts(derived: SegmentSource, pieces: readonly Piece[]): Generator<Uint8Array> {
  function* each(): Generator<Bzip2Piece> {
    const read = createBlockReader(derived);
    for (const piece of pieces) {
      if (piece.kind === "text") {
        yield compressBzip2(Buffer.concat([joint(piece), Buffer.from(piece.text)]));
        continue;
      }
      const segment = read(piece);
      const known = derived.bzip2(piece.place, piece.row.start);
      if (known) {
        yield known;
        continue;
      }
      const made = compressBzip2(Buffer.concat([joint(piece), decompressPiece(segment)]));
      derived.setBzip2(piece.place, piece.row.start, made);
      yield made;
    }
  }
  yield* spliceBzip2(each());
}

/** One long record can make a text larger than a block. */
function compressBzip2(text: Uint8Array): Bzip2Piece {
  const pieces: Bzip2Piece[] = [];
  for (let at = 0; at < text.byteLength; at += MAX_BZIP2_PIECE) {
    pieces.push(compressBzip2Piece(text.subarray(at, at + MAX_BZIP2_PIECE)));
  }
  return Buffer.concat(pieces);
}
