import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { constants, createZstdDecompress, zstdCompressSync } from "node:zlib";

import * as fc from "fast-check";
import * as fzstd from "fzstd";

import {
  compressBlocks,
  decompressBlocks,
  FRAME_END,
  frameHeader,
  PAD,
  PAD_BLOCKS,
  blocksOfFrame,
  SEPARATOR,
  SEPARATOR_BLOCKS,
  type ZstdPart,
  type ZstdBlocks,
  zstdExtents,
} from "../../../src/modules/splice/zstd-frame.ts";
import { filter, findPython, findTool, noise, repeated, repodataSegments, runPython } from "./support.ts";

type Document = { readonly name: string; readonly frame: Buffer; readonly text: Buffer; readonly pieces: ZstdBlocks[] };

const NOTHING = new Uint8Array(0);

/** Head, segments and tail as in `repodata.json`: only segments have a comma between them. */
function jointBefore(index: number, count: number): Uint8Array {
  if (index === 0) return NOTHING;
  return index === 1 || index === count - 1 ? PAD : SEPARATOR;
}

function partsOf(pieces: readonly ZstdBlocks[]): ZstdPart[] {
  return pieces.map((piece, index) => ({
    prefix: jointBefore(index, pieces.length),
    size: piece.size,
    windowSize: piece.windowSize,
    open: () => piece,
  }));
}

function* spliceZstd(parts: readonly ZstdPart[]): Generator<Uint8Array, void, undefined> {
  for (const extent of zstdExtents(parts)) yield extent();
}

function documentOf(name: string, texts: readonly Uint8Array[], level?: number): Document {
  const pieces = texts.map((text) => compressBlocks(text, level));
  const text = Buffer.concat(texts.flatMap((part, index) => [jointBefore(index, texts.length), part]));
  return { name, frame: Buffer.concat([...spliceZstd(partsOf(pieces))]), text, pieces };
}

const text = (value: string): Uint8Array => Buffer.from(value);
const segments = repodataSegments(500_000, 100_000);
const large = Buffer.concat(segments);

/** Texts whose first match is at one of the offsets 1, 4 and 8, the initial offsets of a frame. */
const offsetHungry = ["a", "ab", "abcd", "abcdefgh", "xyzabcde", " ", "        ", ",       "].flatMap((pattern) =>
  [9, 40, 500].map((length) => repeated(pattern, length)),
);

const documents: Document[] = [
  documentOf("no piece", []),
  documentOf("an empty piece", [NOTHING]),
  documentOf("empty pieces", [NOTHING, NOTHING, NOTHING, NOTHING]),
  documentOf("one byte", [text("{")]),
  documentOf("pieces of one byte", [text("{"), text("a"), text("b"), text("b"), text("}")]),
  documentOf("incompressible pieces", [noise(1), noise(300_000), noise(1000), noise(131_072), noise(131_073)]),
  documentOf("first offsets used at once", [...offsetHungry, ...offsetHungry.toReversed()]),
  documentOf("first offsets used at once, level 1", [...offsetHungry, ...offsetHungry.toReversed()], 1),
  documentOf("pieces larger than a block", [text("{"), large, large, text("}")], 9),
  documentOf("pieces larger than the window", [text("{"), Buffer.concat([large, large, large]), large, text("}")], 1),
  documentOf("runs of a byte", [new Uint8Array(400_000), repeated(" ", 131_072), repeated("0", 3), new Uint8Array(8)]),
  documentOf("pieces that end raw or in a run", [
    ...[noise(140_000), new Uint8Array(300_000), text("x")].map((end) => Buffer.concat([segments[0] ?? NOTHING, end])),
    segments[1] ?? NOTHING,
  ]),
  documentOf(
    "many tiny pieces",
    Array.from({ length: 3000 }, (_, index) => large.subarray(index * 31, index * 31 + (index % 43))),
  ),
  documentOf("repodata", [text('{"info":{},"packages":{'), ...segments, text('},"packages.conda":{}}')]),
];

describe("a spliced zstd frame", () => {
  const decoders: [string, (frame: Uint8Array) => Promise<Uint8Array> | Uint8Array][] = [
    ["Bun", (frame) => Bun.zstdDecompressSync(frame)],
    ["a stream of node:zlib", decodeStreaming],
    ["fzstd", (frame) => fzstd.decompress(frame)],
    ["fzstd in chunks", decodeFzstdStreaming],
  ];
  test.each(decoders)("decodes byte for byte with %s", async (_, decode) => {
    for (const document of documents) expectSame(await decode(document.frame), document);
  });

  test("decodes byte for byte with the zstd command line tool", () => {
    const zstd = findTool("zstd");
    if (zstd === undefined) return;
    for (const document of documents) expectSame(filter([zstd, "-dc"], document.frame), document);
  });

  test("decodes byte for byte with python-zstandard in one shot and in steps, to the last byte of the file", () => {
    const python = findPython();
    if (python === undefined) return;
    const seen = runPython<unknown>(
      python,
      PYTHON,
      documents.map(({ frame }) => frame),
    );
    const wanted = documents.map(({ text: plain }) => {
      const hash = createHash("sha256").update(plain).digest("hex");
      return { oneShot: hash, steps: hash, eof: true, left: 0, size: plain.length, window: true, checksum: false };
    });
    expect(seen).toEqual(wanted);
  });

  test("decodes byte for byte from any parts, at any level", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.string({ maxLength: 80 }).map(text),
      fc
        .tuple(fc.string({ minLength: 1, maxLength: 9 }), fc.nat(3000))
        .map(([pattern, length]) => repeated(pattern, length)),
      fc.tuple(fc.nat(large.length - 1), fc.nat(5000)).map(([start, length]) => large.subarray(start, start + length)),
      fc.tuple(fc.nat(2000), fc.integer({ min: 1, max: 256 })).map(([length, values]) => noise(length, values)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), fc.integer({ min: 1, max: 19 }), (texts, level) => {
        const document = documentOf(`level ${level}`, texts, level);
        expectSame(Bun.zstdDecompressSync(document.frame), document);
        expectSame(fzstd.decompress(document.frame), document);
        expect(document.pieces.map((each) => Buffer.from(decompressBlocks(each)))).toEqual(
          texts.map((each) => Buffer.from(each)),
        );
      }),
      { numRuns: 400, seed: 20 },
    );
  });
});

describe("the separators of a spliced zstd frame", () => {
  test("decode to their text", () => {
    expect([SEPARATOR, PAD].map(String)).toEqual([",                 ", "                 "]);
    for (const [prefix, blocks] of [
      [SEPARATOR, SEPARATOR_BLOCKS],
      [PAD, PAD_BLOCKS],
    ] as const) {
      const frame = Buffer.concat([frameHeader(prefix.byteLength, 0), blocks, FRAME_END]);
      expect(Bun.zstdDecompressSync(frame).equals(prefix)).toBe(true);
    }
  });

  test("restore the repeat offsets 1, 4 and 8 that the part before changed", () => {
    const raw = Uint8Array.of(SEPARATOR.byteLength << 3, 0, 0, ...SEPARATOR);
    expect(copiesOfRepeats(SEPARATOR_BLOCKS)).toEqual(["jjj", "ghi", "cde"]);
    expect(copiesOfRepeats(PAD_BLOCKS)).toEqual(["jjj", "ghi", "cde"]);
    expect(copiesOfRepeats(raw)).not.toContainEqual("jjj");
    // The encoder assumes the initial offsets: without them, a document whose parts start with repeats is broken.
    const { pieces, text: plain } =
      documents.find(({ name }) => name === "first offsets used at once") ?? documentOf("", []);
    const plainJoint = ({ prefix }: ZstdPart): Uint8Array => Uint8Array.of(prefix.byteLength << 3, 0, 0, ...prefix);
    const body = partsOf(pieces).flatMap((part) => [plainJoint(part), part.open().blocks]);
    expect(isSame(Buffer.concat([frameHeader(plain.length, 2 ** 17), ...body, FRAME_END]), plain)).toBe(false);
  });

  test("are the only state between parts", () => {
    const piece = compressBlocks(text("abc"));
    const splice = (...prefixes: Uint8Array[]): unknown =>
      Buffer.concat([...spliceZstd(prefixes.map((prefix) => ({ ...piece, prefix, open: () => piece })))]);
    expect(() => splice(NOTHING, PAD, SEPARATOR)).not.toThrow();
    expect(() => splice(PAD, SEPARATOR)).not.toThrow();
    expect(() => splice(NOTHING, NOTHING)).toThrow("only a separator or a pad");
    expect(() => splice(text(","))).toThrow("only a separator or a pad");
    expect(() => splice(NOTHING, text(";                 "))).toThrow("only a separator or a pad");
  });
});

describe("a spliced zstd frame", () => {
  test("marks only its final block as the last", () => {
    for (const { frame } of documents) {
      const blocks = [...blocksOf(frame.subarray(14))];
      expect(blocks.map(({ isLast }) => isLast).indexOf(true)).toBe(blocks.length - 1);
      expect(blocks.reduce((sum, { content }) => sum + 3 + content.length, 14)).toBe(frame.length);
    }
  });

  test("uses no table of one part in another", () => {
    const seen = documents.flatMap(({ pieces }) => pieces.map(countReuse));
    expect(seen.filter(({ isForeign }) => isForeign)).toEqual([]);
    // Both occur inside their part, so the check above has read them.
    expect(seen.reduce((sum, { treeless }) => sum + treeless, 0)).toBeGreaterThan(0);
    expect(seen.reduce((sum, { repeats }) => sum + repeats, 0)).toBeGreaterThan(0);
  });

  test("declares the smallest window that is a power of two, at least 1 KiB and at most 128 MiB", () => {
    const exponents = [0, 1, 1024, 1025, 131_072, 131_073, 2 ** 27].map((size) => (frameHeader(1, size)[5] ?? 0) >> 3);
    expect(exponents).toEqual([0, 0, 0, 1, 7, 8, 17]);
    expect(() => frameHeader(1, 2 ** 27 + 1)).toThrow("more than decoders accept");
    const exponentOf = (name: string): number => (documents.find((each) => each.name === name)?.frame[5] ?? 0) >> 3;
    expect(exponentOf("pieces larger than a block")).toBe(9);
    // Level 1 looks back 512 KiB, and the part is three times as long.
    expect(exponentOf("pieces larger than the window")).toBe(9);
  });

  test("can hold more than 4 GiB", () => {
    const piece = compressBlocks(new Uint8Array(2 ** 24), 1);
    const frame = Buffer.concat([...spliceZstd(partsOf(Array.from({ length: 257 }, () => piece)))]);
    const total = 257 * 2 ** 24 + 254 * SEPARATOR.byteLength + 2 * PAD.byteLength;
    expect(frame.readBigUInt64LE(6)).toBe(BigInt(total));
    expect(blocksOfFrame(frame, total).size).toBe(total);
    expect(() => blocksOfFrame(frame, total - 2 ** 32)).toThrow("another size");
    const zstd = findTool("zstd");
    if (zstd === undefined) return;
    // The tool compares what it decodes with the size that is declared.
    expect(() => filter([zstd, "-t"], frame)).not.toThrow();
    expect(() => frameHeader(-1, 0)).toThrow("cannot hold");
    expect(() => frameHeader(2 ** 53, 0)).toThrow("cannot hold");
  });

  test("is decoded part by part", () => {
    const opened: number[] = [];
    const piece = compressBlocks(text("abc"));
    const parts = partsOf([piece, piece, piece]).map((part, index) => ({
      ...part,
      open: () => (opened.push(index), piece),
    }));
    const frame = spliceZstd(parts);
    frame.next();
    expect(opened).toEqual([]);
    frame.next();
    expect(opened).toEqual([0]);
    expect([...frame].length).toBeGreaterThan(0);
    expect(opened).toEqual([0, 1, 2]);
  });

  test("is not finished with a part that differs from its announcement", () => {
    const splice = (said: Partial<ZstdPart>, piece: ZstdBlocks): unknown => [
      ...spliceZstd([{ prefix: NOTHING, size: piece.size, windowSize: piece.windowSize, open: () => piece, ...said }]),
    ];
    const piece = compressBlocks(large);
    expect(() => splice({}, piece)).not.toThrow();
    expect(() => splice({ size: 3 }, piece)).toThrow(`${large.length} bytes instead of 3`);
    expect(() => splice({ windowSize: 1024 }, piece)).toThrow("larger window");
  });

  test("is at most 7 % larger than one frame of the same text at level 19", () => {
    const pieces = repodataSegments(1_500_000, 131_072);
    const { frame, text: plain } = documentOf("large", pieces);
    expect(pieces.length).toBeGreaterThan(8);
    expect(frame.length / Bun.zstdCompressSync(plain, { level: 19 }).length).toBeLessThan(1.07);
  });
});

describe("a foreign zstd frame", () => {
  const params = (values: Record<number, number>) => (bytes: Uint8Array) => zstdCompressSync(bytes, { params: values });
  const encoders: [string, (bytes: Uint8Array) => Uint8Array][] = [
    ["with a checksum", params({ [constants.ZSTD_c_checksumFlag]: 1 })],
    ["without its size", params({ [constants.ZSTD_c_contentSizeFlag]: 0 })],
    ["with a small window", params({ [constants.ZSTD_c_windowLog]: 12 })],
    ["with a size of 8 bytes", (bytes) => documentOf("one", [bytes]).frame],
    ["of Bun", (bytes) => Bun.zstdCompressSync(bytes, { level: 22 })],
  ];
  test.each(encoders)("%s gives its blocks", (_, encode) => {
    for (const size of [0, 1, 255, 256, 65_791, 65_792, 300_000]) {
      const plain = large.subarray(0, size);
      const piece = blocksOfFrame(encode(plain), size);
      const frame = Buffer.concat([...spliceZstd(partsOf([piece, piece, piece]))]);
      const whole = Buffer.concat([plain, PAD, plain, PAD, plain]);
      expect(isSame(frame, whole)).toBe(true);
      expect(Buffer.compare(decompressBlocks(piece), plain)).toBe(0);
      expect(piece.windowSize).toBeLessThanOrEqual(size);
    }
  });

  const good = Bun.zstdCompressSync(large.subarray(0, 1000), { level: 3 });
  const with_ = (at: number, change: (byte: number) => number): Buffer => {
    const changed = Buffer.from(good);
    changed[at] = change(changed[at] ?? 0);
    return changed;
  };
  const refused: [string, Uint8Array, string][] = [
    ["nothing", NOTHING, "is truncated"],
    ["no frame", Buffer.alloc(40), "does not start with the zstd magic number"],
    [
      "a skippable frame in front",
      Buffer.from(`502a4d1800000000${good.toString("hex")}`, "hex"),
      "does not start with the zstd magic number",
    ],
    ["a dictionary", with_(4, (byte) => byte | 1), "needs a dictionary"],
    ["a reserved bit", with_(4, (byte) => byte | 8), "reserved bit"],
    ["a reserved type of block", with_(7, (byte) => byte | 6), "reserved type"],
    ["another size", Bun.zstdCompressSync(large.subarray(0, 999)), "declares another size"],
    ["a cut end", good.subarray(0, -1), "is truncated"],
    ["a cut header", good.subarray(0, 8), "is truncated"],
    ["a second frame", Buffer.concat([good, good]), "bytes follow"],
    ["a checksum that is missing", with_(4, (byte) => byte | 4), "is truncated"],
  ];
  test.each(refused)("with %s is refused", (_, frame, reason) => {
    expect(() => blocksOfFrame(frame, 1000)).toThrow(reason);
  });

  test("with a window that decoders refuse is refused", () => {
    const size = 2 ** 28;
    const header = Buffer.from(frameHeader(size, 2 ** 27));
    header[5] = 18 << 3;
    expect(() => blocksOfFrame(Buffer.concat([header, FRAME_END]), size)).toThrow("more than decoders accept");
  });

  test("has the window of its header, or its size when that is smaller", () => {
    const run = (length: number, isLast: boolean): number[] =>
      [(length << 3) & 0xff, length >> 5, 0, 0].map((byte, index) => (index === 0 ? byte | 2 | Number(isLast) : byte));
    const frame = Uint8Array.of(
      ...frameHeader(0, 0).subarray(0, 4),
      0,
      (2 << 3) | 3,
      ...run(3000, false),
      ...run(3000, true),
    );
    expect(isSame(frame, new Uint8Array(6000))).toBe(true);
    expect(blocksOfFrame(frame, 6000).windowSize).toBe(4096 + 3 * 512);
    expect(blocksOfFrame(frame, 5000).windowSize).toBe(5000);
  });

  test("of no bytes has no block", () => {
    expect(compressBlocks(NOTHING)).toEqual({ blocks: NOTHING, size: 0, windowSize: 0 });
  });

  test("is not modified", () => {
    const frame = Buffer.from(good);
    blocksOfFrame(frame, 1000);
    expect(frame.equals(good)).toBe(true);
  });
});

function expectSame(decoded: Uint8Array, { name, text: plain }: Document): void {
  expect([name, decoded.byteLength, Buffer.compare(decoded, plain)]).toEqual([name, plain.length, 0]);
}

/** What a block after a part and a separator copies when it uses the first, the second and the third repeat offset. */
function copiesOfRepeats(prefix: Uint8Array): string[] {
  const { blocks, windowSize } = compressBlocks(large.subarray(0, 50_000));
  return [1, 2, 3].map((repeat) => {
    // Ten literals and one sequence of all of them, with tables of one symbol; the bit stream is the offset's value.
    const content = [10 << 3, ...text("abcdefghij"), 1, 0b01_01_01_00, 10, repeat >> 1, 0, repeat];
    const probe = Uint8Array.of((content.length << 3) | (2 << 1), 0, 0, ...content);
    const header = frameHeader(0, windowSize);
    // Without the size, which differs.
    const sizeless = Uint8Array.of(...header.subarray(0, 4), 0, header[5] ?? 0);
    return Bun.zstdDecompressSync(Buffer.concat([sizeless, blocks, prefix, probe, FRAME_END]))
      .subarray(-3)
      .toString();
  });
}

function isSame(frame: Uint8Array, plain: Uint8Array): boolean {
  try {
    return Bun.zstdDecompressSync(frame).equals(plain);
  } catch {
    return false;
  }
}

async function decodeStreaming(frame: Uint8Array): Promise<Buffer> {
  const decoder = createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: 27 } });
  for (let at = 0; at < frame.length; at += 4093) decoder.write(frame.subarray(at, at + 4093));
  decoder.end();
  const chunks: Buffer[] = [];
  for await (const chunk of decoder) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function decodeFzstdStreaming(frame: Uint8Array): Buffer {
  const chunks: Uint8Array[] = [];
  const decoder = new fzstd.Decompress((chunk) => void chunks.push(Uint8Array.from(chunk)));
  for (let at = 0; at < frame.length; at += 4093) {
    decoder.push(frame.subarray(at, at + 4093), at + 4093 >= frame.length);
  }
  return Buffer.concat(chunks);
}

type Block = { readonly isLast: boolean; readonly type: number; readonly content: Buffer };

function* blocksOf(bytes: Uint8Array): Generator<Block> {
  const buffer = Buffer.from(bytes);
  for (let at = 0; at < buffer.length;) {
    const header = buffer.readUIntLE(at, 3);
    const type = (header >> 1) & 3;
    const end = at + 3 + (type === 1 ? 1 : header >> 3);
    yield { isLast: (header & 1) === 1, type, content: buffer.subarray(at + 3, end) };
    at = end;
  }
}

/** How often blocks use tables of earlier blocks, and whether one does so before a block of its part has set them. */
function countReuse(piece: ZstdBlocks): { isForeign: boolean; treeless: number; repeats: number } {
  let [isForeign, treeless, repeats, hasTree, hasTables] = [false, 0, 0, false, false];
  for (const { type, content } of blocksOf(piece.blocks)) {
    if (type !== 2) continue;
    const literals = (content[0] ?? 0) & 3;
    treeless += Number(literals === 3);
    isForeign ||= literals === 3 && !hasTree;
    hasTree ||= literals === 2;
    const sequences = content.subarray(literalsLength(content));
    const count = sequences[0] ?? 0;
    if (count === 0) continue;
    const modes = sequences[count < 128 ? 1 : count < 255 ? 2 : 3] ?? 0;
    const reused = [6, 4, 2].filter((shift) => ((modes >> shift) & 3) === 3).length;
    repeats += reused;
    isForeign ||= reused > 0 && !hasTables;
    hasTables = true;
  }
  return { isForeign, treeless, repeats };
}

/** The length of the literals section at the start of a compressed block. */
function literalsLength(content: Buffer): number {
  const first = content[0] ?? 0;
  const format = (first >> 2) & 3;
  if ((first & 3) < 2) {
    const header = [1, 2, 1, 3][format] ?? 0;
    const size = content.readUIntLE(0, header) >> (header === 1 ? 3 : 4);
    return header + ((first & 3) === 1 ? 1 : size);
  }
  const [header, bits] = (
    [
      [3, 10],
      [3, 10],
      [4, 14],
      [5, 18],
    ] as const
  )[format] ?? [0, 0];
  const value = content.readUIntLE(0, header);
  return header + (Math.floor(value / 2 ** (4 + bits)) % 2 ** bits);
}

const PYTHON = `
import hashlib, json, sys, zstandard
for index in range(int(sys.argv[2])):
    data = open(f"{sys.argv[1]}/{index}", "rb").read()
    steps = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()
    parts = [steps.decompress(data[at:at + 5000]) for at in range(0, len(data), 5000)]
    frame = zstandard.get_frame_parameters(data)
    print(json.dumps({
        "oneShot": hashlib.sha256(zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)).hexdigest(),
        "steps": hashlib.sha256(b"".join(parts)).hexdigest(), "eof": steps.eof, "left": len(steps.unused_data),
        "size": frame.content_size, "window": frame.window_size <= 2**27, "checksum": frame.has_checksum,
    }))
`;
