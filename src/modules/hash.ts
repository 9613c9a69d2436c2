// Hashes of packages and secrets.

import { timingSafeEqual } from "node:crypto";

/** Lower-case hexadecimal. */
export type FileDigest = { readonly sha256: string; readonly md5: string };

/** Both hashes that conda's documents carry, from one pass over the bytes. */
export type FileHash = {
  update(chunk: Uint8Array): void;
  /** Finishes the hash and returns it. */
  digest(): FileDigest;
};

export function createFileHash(): FileHash {
  const sha256 = createSha256();
  const md5 = new Bun.CryptoHasher("md5");
  return {
    update: (chunk) => {
      sha256.update(chunk);
      md5.update(chunk);
    },
    digest: () => ({ sha256: sha256.digest("hex"), md5: md5.digest("hex") }),
  };
}

/** Hashes chunks of bytes, or of text as UTF-8. */
export function createSha256(): Bun.CryptoHasher {
  return new Bun.CryptoHasher("sha256");
}

export function sha256Hex(content: string | Uint8Array): string {
  return Bun.CryptoHasher.hash("sha256", content, "hex");
}

/** Compares two hashes in constant time, ignoring letter case. */
export function equalHex(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left.toLowerCase()), Buffer.from(right.toLowerCase())];
  return a.length === b.length && timingSafeEqual(a, b);
}
