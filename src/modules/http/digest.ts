// Digests of a body that a request declares: `Content-MD5` (RFC 1864), `Digest` (RFC 3230), `Content-Digest` and
// `Repr-Digest` (RFC 9530). Unknown algorithms are ignored.

type Algorithm = "md5" | "sha1" | "sha256" | "sha512";

export type DeclaredDigest = {
  readonly algorithm: Algorithm;
  /** Lower-case hexadecimal. */
  readonly hex: string;
};

const BYTES: Readonly<Record<Algorithm, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 };
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ["md5", "md5"],
  ["sha", "sha1"],
  ["sha-256", "sha256"],
  ["sha-512", "sha512"],
]);

/** The members of a list, separated by commas outside of quoted strings. */
const MEMBERS = /(?:"(?:[^"\\]|\\.)*"|[^,"])+/g;

/** Undefined for a malformed value. */
export function parseContentMd5(header: string): DeclaredDigest[] | undefined {
  const hex = hexOf("md5", header.trim());
  return hex === undefined ? undefined : [{ algorithm: "md5", hex }];
}

/** Undefined for a malformed value. */
export function parseDigest(header: string): DeclaredDigest[] | undefined {
  return parseMembers(header, (value) => value);
}

/** Parses `Content-Digest` or `Repr-Digest`. Undefined for a malformed value. */
export function parseDigestField(header: string): DeclaredDigest[] | undefined {
  // Parameters after the value have no meaning here.
  return parseMembers(header, (value) => /^:([^:]*):\s*(?:;.*)?$/.exec(value)?.[1]);
}

function parseMembers(header: string, base64Of: (value: string) => string | undefined): DeclaredDigest[] | undefined {
  const digests: DeclaredDigest[] = [];
  for (const [member] of header.matchAll(MEMBERS)) {
    const text = member.trim();
    if (text === "") continue;
    const [, key, value = ""] = /^([\w*.-]+)=(.+)$/.exec(text) ?? [];
    if (key === undefined) return undefined;
    const algorithm = ALGORITHMS.get(key.toLowerCase());
    if (algorithm === undefined) continue;
    const hex = hexOf(algorithm, base64Of(value));
    if (hex === undefined) return undefined;
    digests.push({ algorithm, hex });
  }
  return digests;
}

function hexOf(algorithm: Algorithm, base64: string | undefined): string | undefined {
  if (base64 === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const bytes = Buffer.from(base64, "base64");
  return bytes.byteLength === BYTES[algorithm] ? bytes.toString("hex") : undefined;
}
