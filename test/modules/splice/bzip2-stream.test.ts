import { describe, expect, spyOn, test } from "bun:test";
import { createHash } from "node:crypto";

import Bzip2 from "compressjs/lib/Bzip2.js";
import * as fc from "fast-check";

import { compressBzip2Blocks, MAX_BZIP2_INPUT, spliceBzip2 } from "../../../src/modules/splice/bzip2-stream.ts";
import { createRandom, filter, findTool, noise, repeated, repodataSegments, runPython } from "./support.ts";

type Document = { readonly name: string; readonly stream: Buffer; readonly text: Buffer };

const NOTHING = new Uint8Array(0);
const text = (value: string): Uint8Array => Buffer.from(value);

function documentOf(name: string, texts: readonly Uint8Array[]): Document {
  return { name, stream: Buffer.concat([...spliceBzip2(texts.map(compressBzip2Blocks))]), text: Buffer.concat(texts) };
}

/** `values` letters, in runs mostly of one, without four equal ones in a row: those become other bytes. */
function fewLetters(length: number, values: number, seed = 1): Uint8Array {
  const random = createRandom(seed);
  const share = random();
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) {
    const letter = at % 500 < 250 && random() < share ? 0 : Math.floor(random() * values);
    const isFourth = bytes.subarray(Math.max(0, at - 3), at).every((byte) => byte === 97 + letter);
    bytes[at] = 97 + (isFourth ? (letter + 1) % values : letter);
  }
  return bytes;
}

/** Four of each byte, which bzip2's first coding turns into five: no text grows more. */
function quadruples(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index >> 2) & 0xff);
}

const segments = repodataSegments(250_000, 60_000);
const large = Buffer.concat(segments);

/** Found by trial: with so few values, about every tenth text. */
const brokenByEncoder = [
  fewLetters(1000, 3, 4),
  fewLetters(4000, 4, 30),
  fewLetters(4000, 5, 2),
  fewLetters(4000, 5, 12),
];

const documents: Document[] = [
  documentOf("no piece", []),
  documentOf("empty pieces", [NOTHING, NOTHING]),
  documentOf("one byte", [text("{")]),
  documentOf("pieces of one byte, and empty ones", [text("{"), NOTHING, text("a"), text("a"), NOTHING, text("}")]),
  documentOf("incompressible pieces", [noise(1), noise(30_000), noise(1000), noise(65_537)]),
  documentOf(
    "runs of a byte",
    [1, 3, 4, 5, 255, 256, 259, 260, 100_000].map((length) => repeated("x", length)),
  ),
  documentOf("runs over the ends of pieces", [text("aaaa"), text("aaaa"), text("aab"), text("b"), text("bbbb")]),
  documentOf("counts that look like the byte they count", [new Uint8Array(4), noise(1), new Uint8Array(900).fill(251)]),
  documentOf(
    "few byte values",
    [1, 2, 3, 4, 5, 6].flatMap((values) => [40, 500, 2000].map((length) => fewLetters(length, values))),
  ),
  documentOf("few byte values, wrongly compressed by the encoder", brokenByEncoder),
  documentOf("the largest pieces", [quadruples(MAX_BZIP2_INPUT), text("x"), quadruples(MAX_BZIP2_INPUT - 1)]),
  documentOf(
    "many tiny pieces",
    Array.from({ length: 300 }, (_, index) => large.subarray(index * 31, index * 31 + (index % 43))),
  ),
  documentOf("repodata", [text('{"info":{},"packages":{'), ...segments, text('},"packages.conda":{}}')]),
];

describe("a spliced bzip2 stream", () => {
  test("decodes byte for byte with compressjs", () => {
    for (const document of documents) expectSame(Bzip2.decompressFile(document.stream), document);
  });

  test("decodes byte for byte with the bzip2 command line tool", () => {
    const bzip2 = findTool("bzip2");
    if (bzip2 === undefined) return;
    for (const document of documents) expectSame(filter([bzip2, "-dc"], document.stream), document);
  });

  test("decodes byte for byte with Python, to the last byte of the file", () => {
    const python = findTool("python3");
    if (python === undefined) return;
    const seen = runPython<unknown>(
      python,
      PYTHON,
      documents.map(({ stream }) => stream),
    );
    const wanted = documents.map(({ text: plain }) => {
      return { hash: createHash("sha256").update(plain).digest("hex"), eof: true, left: 0 };
    });
    expect(seen).toEqual(wanted);
  });

  test("decodes byte for byte from any parts", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(fc.string({ minLength: 1, maxLength: 3 }), fc.nat(600)).map(([each, length]) => repeated(each, length)),
      fc.tuple(fc.nat(2000), fc.integer({ min: 1, max: 8 })).map(([length, values]) => fewLetters(length, values)),
      fc.tuple(fc.nat(large.length - 1), fc.nat(3000)).map(([start, length]) => large.subarray(start, start + length)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (texts) => {
        const document = documentOf("any", texts);
        expectSame(Bzip2.decompressFile(document.stream), document);
      }),
      { numRuns: 40, seed: 20 },
    );
  });
});

describe("the blocks of a spliced bzip2 stream", () => {
  test("are none for empty text", () => {
    expect(compressBzip2Blocks(NOTHING)).toHaveLength(0);
  });

  test("are refused when the text might not fit one block", () => {
    expect(MAX_BZIP2_INPUT).toBeLessThan(900_000);
    expect(() => compressBzip2Blocks(new Uint8Array(MAX_BZIP2_INPUT + 1))).toThrow(String(MAX_BZIP2_INPUT));
  });

  test("can have fewer distinct byte values than the encoder alone supports", () => {
    const complaints = spyOn(console, "assert").mockImplementation(() => undefined);
    for (const bytes of brokenByEncoder) {
      expect(isSame(Bzip2.compressFile(bytes, undefined, 9), bytes)).toBe(false);
      expect(complaints).toHaveBeenCalledWith(false);
      complaints.mockClear();
      compressBzip2Blocks(bytes);
      expect(complaints).not.toHaveBeenCalledWith(false);
    }
    complaints.mockRestore();
  });

  test("can be several for one part, in order", () => {
    const pieces = [text("first"), text("second"), NOTHING, large].map(compressBzip2Blocks);
    expect(
      Buffer.concat([...spliceBzip2([Buffer.concat(pieces)])]).equals(Buffer.concat([...spliceBzip2(pieces)])),
    ).toBe(true);
  });

  test("are equal for equal text", () => {
    expect(compressBzip2Blocks(large)).toEqual(compressBzip2Blocks(Uint8Array.from(large)));
  });

  test("are refused when truncated", () => {
    const piece = compressBzip2Blocks(text("some text"));
    expect(() => [...spliceBzip2([piece.subarray(0, -1)])]).toThrow("ends within a block");
    expect(() => [...spliceBzip2([piece.subarray(0, 3)])]).toThrow();
  });
});

test("bzip2 blocks can start at every bit of a byte", () => {
  const seen = new Set<number>();
  let bits = 0;
  for (let index = 0; index < 60; index += 1) {
    const piece = Buffer.from(compressBzip2Blocks(large.subarray(0, 200 + index * 7)));
    seen.add(bits & 7);
    bits += piece.readUInt32BE(0);
  }
  expect(seen.size).toBe(8);
  expectSame(Bzip2.decompressFile(documentOf("", sixty()).stream), { name: "", text: Buffer.concat(sixty()) });
});

test("a bzip2 stream is produced part by part", () => {
  let taken = 0;
  function* pieces(): Generator<Uint8Array> {
    for (;;) {
      taken += 1;
      yield compressBzip2Blocks(text("some text"));
    }
  }
  const stream = spliceBzip2(pieces());
  expect(Buffer.from(stream.next().value ?? NOTHING).toString()).toBe("BZh9");
  expect(taken).toBe(0);
  stream.next();
  expect(taken).toBe(1);
  stream.return();
});

function sixty(): Uint8Array[] {
  return Array.from({ length: 60 }, (_, index) => large.subarray(0, 200 + index * 7));
}

function isSame(stream: Uint8Array, plain: Uint8Array): boolean {
  try {
    return Buffer.compare(Bzip2.decompressFile(stream), plain) === 0;
  } catch {
    return false;
  }
}

function expectSame(decoded: Uint8Array, { name, text: plain }: { name: string; text: Uint8Array }): void {
  expect([name, decoded.byteLength, Buffer.compare(decoded, plain)]).toEqual([name, plain.length, 0]);
}

const PYTHON = `
import bz2, hashlib, json, sys
for index in range(int(sys.argv[2])):
    decoder = bz2.BZ2Decompressor()
    text = decoder.decompress(open(f"{sys.argv[1]}/{index}", "rb").read())
    print(json.dumps({"hash": hashlib.sha256(text).hexdigest(), "eof": decoder.eof, "left": len(decoder.unused_data)}))
`;
