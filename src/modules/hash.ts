// Hashes of packages and secrets.

import { timingSafeEqual } from "node:crypto";

export type HashName = "md5" | "sha1" | "sha256" | "sha512";

/** Hashes that are computed only for a caller that names them. */
export const EXTRA_HASHES = ["sha1", "sha512"] as const;
export type ExtraHash = (typeof EXTRA_HASHES)[number];

/** Lower-case hexadecimal. */
export type FileDigest = { readonly sha256: string; readonly md5: string } & { readonly [name in ExtraHash]?: string };

/** Both hashes that conda's documents carry, and extra ones, from one pass over the bytes. */
export type FileHash = {
  update(chunk: Uint8Array): void;
  /** Finishes the hash and returns it. */
  digest(): FileDigest;
};

export function createFileHash(extra: readonly ExtraHash[] = []): FileHash {
  const sha256 = createSha256();
  const md5 = createHash("md5");
  const others = extra.map((name) => [name, createHash(name)] as const);
  return {
    update: (chunk) => {
      sha256.update(chunk);
      md5.update(chunk);
      for (const [, hash] of others) hash.update(chunk);
    },
    digest: () => ({
      sha256: sha256.digest("hex"),
      md5: md5.digest("hex"),
      ...Object.fromEntries(others.map(([name, hash]) => [name, hash.digest("hex")])),
    }),
  };
}

/** Hashes chunks of bytes. */
export function createHash(name: HashName): Bun.CryptoHasher {
  return new Bun.CryptoHasher(name);
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
