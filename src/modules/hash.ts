// The hashes of packages and secrets.

import { timingSafeEqual } from "node:crypto";

/** Lower-case hexadecimal. */
export type FileDigest = { readonly sha256: string; readonly md5: string };

/** Both hashes that conda's documents carry, from one pass over the bytes. */
export type FileHash = {
  update(chunk: Uint8Array): void;
  /** Ends the hash. */
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

/** Of bytes, or of text in UTF-8, that come one after the other. */
export function createSha256(): Bun.CryptoHasher {
  return new Bun.CryptoHasher("sha256");
}

export function sha256Hex(content: string | Uint8Array): string {
  return Bun.CryptoHasher.hash("sha256", content, "hex");
}

/** Whether two hashes are the same, in either case; takes as long wherever they differ. */
export function equalHex(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left.toLowerCase()), Buffer.from(right.toLowerCase())];
  return a.length === b.length && timingSafeEqual(a, b);
}
