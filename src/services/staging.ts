// Receives an upload into a temporary file beside the blobs, and hashes and counts the bytes as they arrive.

import { AppError, malformed } from "../errors.ts";
import type { Events } from "../events.ts";
import type { BlobKey, BlobStore, StagedBlob } from "../modules/storage/blob-store.ts";
import {
  createFileHash,
  equalHex,
  EXTRA_HASHES,
  type ExtraHash,
  type FileDigest,
  type HashName,
} from "../modules/hash.ts";
import { pump } from "../modules/streams.ts";
import type { FileHashes, FollowedFile } from "./file-hashes.ts";

export type StagedFile = {
  readonly sha256: string;
  readonly md5: string;
  readonly size: number;
  /** Path for the inspection to read. */
  readonly path: string;
  /** Resolves when the bytes are durable; the file can be read earlier. Errors: those of `receive()`. */
  durable(): Promise<void>;
  /** Only after `durable()` has resolved. */
  promote(key: BlobKey): Promise<void>;
  /** Safe to call twice. */
  discard(): Promise<void>;
};

export type Incoming = {
  readonly body: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | null;
  /** From `Content-Length`, when the client sent one and the body is the file. */
  readonly length: number | undefined;
  /** Minimum bytes of the file, when only the length of the form around it is known. */
  readonly atLeast?: number | undefined;
  /** Hashes of the file that the client declared. */
  readonly expected: { readonly [name in HashName]?: string | undefined };
};

/** Observes how the body arrives, and can end it. */
export type Receiving = { readonly signal: AbortSignal; arrived(): void; received(): void };

export type Staging = {
  /**
   * Errors: `too-large` above the limit, `malformed` for a truncated or empty body, `hash-mismatch`, `timeout`,
   * `no-space`. After an error the temporary file is deleted.
   */
  receive(incoming: Incoming, receiving?: Receiving): Promise<StagedFile>;
};

export type StagingParts = {
  readonly blobs: BlobStore;
  readonly events: Events;
  readonly hashes: FileHashes;
  /** Maximum bytes of one upload. */
  readonly limit: number;
  readonly failpoint?: ((name: string) => void) | undefined;
};

/** From this size on another thread hashes, starting over; for smaller uploads the handover costs more. */
const LARGE_BYTES = 16 * 1024 ** 2;

export function createStaging(parts: StagingParts): Staging {
  return {
    receive: async (incoming, receiving) => {
      refuseTooLong(incoming, parts.limit);
      if (incoming.body === null) throw malformed("The request has no body: send the package as the body.");
      const staged = await parts.blobs.stage(incoming.length ?? incoming.atLeast);
      parts.events.transferStarted();
      try {
        return await fill(parts, staged, incoming.body, { ...incoming, receiving });
      } catch (error) {
        await staged.discard();
        throw error;
      } finally {
        parts.events.transferEnded(staged.size);
      }
    },
  };
}

async function fill(
  parts: StagingParts,
  staged: StagedBlob,
  body: NonNullable<Incoming["body"]>,
  incoming: Incoming & { readonly receiving: Receiving | undefined },
): Promise<StagedFile> {
  const { expected } = incoming;
  const extra = EXTRA_HASHES.filter((name) => expected[name] !== undefined);
  const hash = createStagedHash(parts.hashes, staged, extra);
  let digest: FileDigest;
  let size: number;
  try {
    size = await pump(body, {
      limit: parts.limit,
      expected: incoming.length,
      signal: incoming.receiving?.signal,
      onBytes: incoming.receiving?.arrived,
      onChunk: async (chunk) => {
        await hash.append(chunk);
        parts.failpoint?.("p2.body_half");
      },
    });
    incoming.receiving?.received();
    if (size === 0) throw malformed("The body is empty: send the package as the body.");
    digest = await hash.end();
  } catch (error) {
    hash.drop();
    throw error;
  }
  const { sha256, md5 } = digest;
  compareHash("sha256", expected.sha256, sha256);
  compareHash("md5", expected.md5, md5);
  for (const name of extra) compareHash(name, expected[name], digest[name]);
  // The disk syncs while the package is inspected; `durable()` waits for the sync before promotion.
  const synced = staged.sync();
  synced.catch(() => undefined);
  return {
    durable: () => synced,
    sha256,
    md5,
    size,
    path: staged.path,
    promote: (key) => staged.promote(key),
    discard: () => staged.discard(),
  };
}

type StagedHash = { append(chunk: Uint8Array): Promise<void>; end(): Promise<FileDigest>; drop(): void };

/** Hashes the appended chunks: small uploads in this thread, large ones in another. */
function createStagedHash(hashes: FileHashes, staged: StagedBlob, extra: readonly ExtraHash[]): StagedHash {
  const hash = createFileHash(extra);
  let followed: FollowedFile | undefined;
  return {
    append: async (chunk) => {
      // The disk writes while the CPU hashes.
      const writing = staged.append(chunk);
      if (!followed) hash.update(chunk);
      await writing;
      if (staged.size >= LARGE_BYTES) followed ??= hashes.follow(staged.path, extra);
      await followed?.grown(staged.size);
    },
    end: async () => (followed ? await followed.end(staged.size) : hash.digest()),
    drop: () => followed?.drop(),
  };
}

function refuseTooLong(incoming: Incoming, limit: number): void {
  const size = incoming.length ?? incoming.atLeast ?? 0;
  if (size <= limit) return;
  throw new AppError("too-large", `The package has ${size} bytes; the limit is ${limit} bytes.`, {
    members: { limit },
  });
}

/** Errors: `hash-mismatch`. */
function compareHash(name: HashName, expected: string | undefined, actual: string | undefined): void {
  if (expected === undefined || equalHex(expected, actual ?? "")) return;
  throw new AppError(
    "hash-mismatch",
    `The ${name} of the received file is ${actual}, but the request declared ${expected.slice(0, 128)}.`,
  );
}
