// What the inspection of a package file is given and what it finds; `inspect-archive.ts` does it.

import type { Finding } from "./findings.ts";

export type ArchiveFormat = "conda" | "tar.bz2";

/** Bounds of one inspection; `design.md` §4 gives the defaults. */
export type ArchiveLimits = {
  /** Of a processor's time, and a tenth of it more for each 5 MB, packed and unpacked. */
  readonly busyMs: number;
  /** Unpacked bytes are at most the greater of this and `unpackedRatio` × packed. */
  readonly unpackedBytes: number;
  readonly unpackedRatio: number;
  readonly members: number;
  /** Bytes of `info/index.json`. */
  readonly indexBytes: number;
  /** Bytes of any other file in `info/` that is read. */
  readonly infoBytes: number;
  readonly jsonDepth: number;
  /** Base-2 logarithm of the largest zstd window. */
  readonly zstdWindowLog: number;
};

export const ARCHIVE_LIMITS: ArchiveLimits = {
  busyMs: 10_000,
  unpackedBytes: 1024 ** 3,
  unpackedRatio: 50,
  members: 200_000,
  indexBytes: 1024 ** 2,
  infoBytes: 16 * 1024 ** 2,
  jsonDepth: 32,
  zstdWindowLog: 27,
};

/** The names that identify a package, each within CEP 26. https://conda.org/learn/ceps/cep-0026 */
export type PackageIdentity = {
  readonly name: string;
  readonly version: string;
  readonly build: string;
  readonly buildNumber: number;
  /** From `subdir`, or derived from `noarch`, `platform` and `arch`; undefined when the package does not say. */
  readonly subdir: string | undefined;
  /** `{name}-{version}-{build}.{extension}`, always rebuilt from the metadata. */
  readonly fileName: string;
  /** Milliseconds; 0 when the package has none. */
  readonly timestamp: number;
};

/** What is kept of a package beside its record; stored as JSON. */
export type PackageMetadata = {
  readonly about: Readonly<Record<string, unknown>>;
  /** CEP 12 form: `{weak: [...], strong: [...]}`; `{}` when the package exports nothing. */
  readonly runExports: Readonly<Record<string, readonly string[]>>;
  /**
   * Plain facts shown to people: `pre-link`, `post-link`, `pre-unlink`, `post-unlink`, `activate`, `entry-points`,
   * `external-links`, `binary-prefix`, `text-prefix`, `no-payload`.
   */
  readonly flags: readonly string[];
};

export type Inspection =
  | {
      readonly kind: "accepted";
      readonly format: ArchiveFormat;
      readonly identity: PackageIdentity;
      /** Canonical text of the record (`modules/conda/record.ts`), without `subdir` when the package has none. */
      readonly record: string;
      readonly metadata: PackageMetadata;
      /** zstd-compressed JSON lines `{"path","size","type","mode"}` of every member, in archive order. */
      readonly fileList: Uint8Array;
      readonly unpackedBytes: number;
      /** Warnings only. */
      readonly findings: readonly Finding[];
    }
  | { readonly kind: "refused"; readonly findings: readonly Finding[] };

export type InspectOptions = {
  /** The file as it was sent; says which format is expected and is compared with the rebuilt name. */
  readonly fileName: string;
  readonly limits: ArchiveLimits;
  /** Milliseconds UTC; when given, a `timestamp` after it is a warning. */
  readonly now?: number;
  /** Milliseconds of a processor's time that have been used; when given, they are limited. */
  readonly busy?: () => number;
};
