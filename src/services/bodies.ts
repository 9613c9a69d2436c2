// Sources of response bodies: memory for small content, the file itself for large content. The memory has a budget that
// holds even when many clients do not read their responses.

import { createLending, type Borrower, type Lending } from "../modules/lending.ts";
import { createSemaphore, type Semaphore } from "../modules/mutex.ts";
import type { StoredBlob } from "../modules/storage/blob-store.ts";

/** Both ends are inclusive. */
export type ByteRange = { readonly start: number; readonly end: number };

/** The recipient of a response, and the range it requested. */
export type Recipient = Borrower & { readonly range?: ByteRange | undefined };

/** Content from memory or from a file; a stream when the memory budget is used up. */
export type Body = Blob | ReadableStream<Uint8Array<ArrayBuffer>>;

export type Stored = {
  /** Identifies exactly these bytes. */
  readonly key: string;
  readonly size: number;
  /** The file or a range of it. Errors: the error for the client when the file does not exist. */
  open(range?: ByteRange): Promise<StoredBlob> | StoredBlob;
};

/** Bytes that can be sent, in full or in part. */
export type Sendable = {
  readonly size: number;
  open(recipient: Recipient): Promise<Body>;
  /** The complete content if it can be sent without waiting for the disk; undefined otherwise, or if it was deleted. */
  replayable(recipient: Borrower): Blob | undefined;
  /** Bytes of memory outside of all budgets that this object holds while it is referenced. */
  readonly heldBytes: number;
};

export type Bodies = {
  open(stored: Stored, recipient: Recipient): Promise<Body>;
  /** Whether content of this size is sent from its file. */
  isSentFromFile(size: number): boolean;
  /** The complete content, if it is in memory. */
  kept(stored: Pick<Stored, "key" | "size">, recipient: Borrower): Blob | undefined;
  /** Bytes of memory in use. */
  readonly bytes: number;
};

export type BodiesOptions = {
  /** Bytes of memory for tiny content, and as many again for larger content, so that neither displaces the other. */
  readonly budget?: number;
};

/** Complete files up to this size are cached in memory: opening a file costs more than sending it. */
const SMALL_BYTES = 1.25 * 1024 ** 2;
/** Bun reads smaller parts of a file into memory for each response; from this size on, the kernel sends the file. */
const SENDFILE_BYTES = 1024 ** 2;
/** The default budget. */
export const BUDGET_BYTES = 48 * 1024 ** 2;
const TINY_BYTES = 64 * 1024;
/** A response outside the memory budget holds one chunk of this size. */
const CHUNK_BYTES = 64 * 1024;
const CONCURRENT_READS = 16;
/** Concurrent chunk reads; more would block the event loop for other requests. */
const CONCURRENT_CHUNKS = 4;

export function createBodies({ budget = BUDGET_BYTES }: BodiesOptions = {}): Bodies {
  const [tiny, larger] = [createLending({ budget }), createLending({ budget })];
  const lendingOf = (length: number): Lending => (length <= TINY_BYTES ? tiny : larger);
  const reads = createSemaphore(CONCURRENT_READS, Number.POSITIVE_INFINITY);
  const chunkSlots = createSemaphore(CONCURRENT_CHUNKS, Number.POSITIVE_INFINITY);

  async function read({ key, open }: Stored, length: number, range: ByteRange | undefined): Promise<Blob> {
    const content = await reads.run(async () => (await open(range)).arrayBuffer());
    if (content.byteLength !== length) throw lengthMismatch(key, content.byteLength, length);
    const blob = new Blob([content]);
    // A Blob has its own copy; this frees the original at once, long before the next garbage collection.
    content.transfer(0);
    return blob;
  }

  return {
    get bytes() {
      return tiny.bytes + larger.bytes;
    },
    isSentFromFile: (size) => size > SMALL_BYTES,
    kept: ({ key, size }, recipient) => lendingOf(size).find(key, recipient),
    open: async (stored, recipient) => {
      const { key, size } = stored;
      const { start, end } = recipient.range ?? { start: 0, end: size - 1 };
      const length = end + 1 - start;
      if (size <= SMALL_BYTES) {
        const complete = await lendingOf(size).borrow(key, size, () => read(stored, size, undefined), recipient);
        if (!complete) return inChunks(chunkSlots, stored, start, length);
        return recipient.range ? complete.slice(start, end + 1) : complete;
      }
      if (length >= SENDFILE_BYTES) return bodyOf(await stored.open(recipient.range));
      const { range } = recipient;
      const part = await lendingOf(length).borrow(
        `${key} ${start}-${end}`,
        length,
        () => read(stored, length, range),
        recipient,
      );
      return part ?? inChunks(chunkSlots, stored, start, length);
    },
  };
}

/** A `Blob` stays one: Bun sends a file without reading it. */
function bodyOf(content: StoredBlob): Body {
  return content instanceof Blob ? content : content.stream();
}

/** Reads each chunk on demand. Such a response has no `Content-Length`, because Bun sends none for a stream. */
function inChunks(
  slots: Semaphore,
  stored: Stored,
  start: number,
  length: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = start;
  const end = start + length;
  return new ReadableStream(
    {
      pull: async (controller) => {
        const next = Math.min(end, at + CHUNK_BYTES);
        if (next > at) {
          const chunk = await slots.run(async () => (await stored.open({ start: at, end: next - 1 })).bytes());
          if (chunk.byteLength !== next - at) throw lengthMismatch(stored.key, at + chunk.byteLength, end);
          controller.enqueue(chunk);
        }
        at = next;
        if (at === end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

function lengthMismatch(key: string, found: number, wanted: number): Error {
  return new Error(`${key} has ${found} bytes instead of ${wanted}`);
}
