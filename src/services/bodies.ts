// What answers are sent from: memory for what is small, the file itself for what is large. Memory has a budget, however
// many answers are on their way to readers who do not read.

import { createLending, type Borrower, type Lending } from "../modules/lending.ts";
import { createSemaphore, type Semaphore } from "../modules/mutex.ts";

/** Both ends are inclusive. */
export type ByteRange = { readonly start: number; readonly end: number };

/** Who gets an answer, and what of it. */
export type Asked = Borrower & { readonly range?: ByteRange | undefined };

/** Content that is sent as it is from memory or a file, and as a stream when there is no memory left for it. */
export type Body = Blob | ReadableStream<Uint8Array<ArrayBuffer>>;

export type Stored = {
  /** Stands for these very bytes. */
  readonly key: string;
  readonly size: number;
  /** The file or a part of it. Errors: whatever whoever asks should be told when it is not there. */
  open(range?: ByteRange): Promise<Blob> | Blob;
};

/** Bytes that can be sent, in full or in part. */
export type Sendable = {
  readonly size: number;
  open(asked: Asked): Promise<Body>;
  /** All of it, if it can be sent at once without waiting for the disk; undefined otherwise, or once it has gone. */
  again(asked: Borrower): Blob | undefined;
  /** What it keeps in memory outside of all budgets as long as somebody remembers it. */
  readonly heldBytes: number;
};

export type Bodies = {
  open(stored: Stored, asked: Asked): Promise<Body>;
  /** Whether content of this size is sent from its file. */
  isSentFromFile(size: number): boolean;
  /** All of the content, if it lies in memory. */
  kept(stored: Pick<Stored, "key" | "size">, asked: Borrower): Blob | undefined;
  /** Bytes of memory that are taken. */
  readonly bytes: number;
};

export type BodiesOptions = {
  /** Bytes of memory for what is small, and as many again for what is larger, so that neither keeps the other out. */
  readonly budget?: number;
};

/** Whole files up to here are kept for the next who asks: opening a file costs more than sending it. */
const SMALL_BYTES = 1.25 * 1024 ** 2;
/** Bun reads less than this of a file into memory, for each answer anew; from here on the kernel sends it. */
const SENDFILE_BYTES = 1024 ** 2;
const BUDGET_BYTES = 48 * 1024 ** 2;
const TINY_BYTES = 64 * 1024;
/** A reader without a place in memory holds one such piece. */
const PIECE_BYTES = 64 * 1024;
const READS_AT_ONCE = 16;
/** So many of them leave the event loop to others. */
const PIECES_AT_ONCE = 4;

export function createBodies({ budget = BUDGET_BYTES }: BodiesOptions = {}): Bodies {
  const [tiny, larger] = [createLending({ budget }), createLending({ budget })];
  const lendingOf = (length: number): Lending => (length <= TINY_BYTES ? tiny : larger);
  const reads = createSemaphore(READS_AT_ONCE, Number.POSITIVE_INFINITY);
  const pieces = createSemaphore(PIECES_AT_ONCE, Number.POSITIVE_INFINITY);

  async function read({ key, open }: Stored, length: number, range: ByteRange | undefined): Promise<Blob> {
    const content = await reads.run(async () => (await open(range)).arrayBuffer());
    if (content.byteLength !== length) throw notAsLong(key, content.byteLength, length);
    const blob = new Blob([content]);
    // A Blob has its own copy; without this the other stays until the next collection, which is far away.
    content.transfer(0);
    return blob;
  }

  return {
    get bytes() {
      return tiny.bytes + larger.bytes;
    },
    isSentFromFile: (size) => size > SMALL_BYTES,
    kept: ({ key, size }, asked) => lendingOf(size).find(key, asked),
    open: async (stored, asked) => {
      const { key, size } = stored;
      const { start, end } = asked.range ?? { start: 0, end: size - 1 };
      const length = end + 1 - start;
      if (size <= SMALL_BYTES) {
        const whole = await lendingOf(size).borrow(key, size, () => read(stored, size, undefined), asked);
        if (!whole) return inPieces(pieces, stored, start, length);
        return asked.range ? whole.slice(start, end + 1) : whole;
      }
      if (length >= SENDFILE_BYTES) return await stored.open(asked.range);
      const { range } = asked;
      const part = await lendingOf(length).borrow(
        `${key} ${start}-${end}`,
        length,
        () => read(stored, length, range),
        asked,
      );
      return part ?? inPieces(pieces, stored, start, length);
    },
  };
}

/** Read as it is taken. Such an answer has no `Content-Length`, as Bun gives a stream none. */
function inPieces(
  turns: Semaphore,
  stored: Stored,
  start: number,
  length: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = start;
  const end = start + length;
  return new ReadableStream(
    {
      pull: async (controller) => {
        const next = Math.min(end, at + PIECE_BYTES);
        if (next > at) {
          const piece = await turns.run(async () => (await stored.open({ start: at, end: next - 1 })).bytes());
          if (piece.byteLength !== next - at) throw notAsLong(stored.key, at + piece.byteLength, end);
          controller.enqueue(piece);
        }
        at = next;
        if (at === end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

function notAsLong(key: string, found: number, wanted: number): Error {
  return new Error(`${key} has ${found} bytes where there should be ${wanted}`);
}
