// Input and result of the inspection of a package file; `inspect-archive.ts` implements it.

import type { Finding } from "./findings.ts";

export type ArchiveFormat = "conda" | "tar.bz2";

/** Limits of one inspection; `ARCHIVE_LIMITS` has the defaults. */
export type ArchiveLimits = {
  /** CPU time in ms, plus a tenth of it for each 5 MB, packed and unpacked. */
  readonly busyMs: number;
  /** The limit of unpacked bytes is the larger of this and `unpackedRatio` × packed bytes. */
  readonly unpackedBytes: number;
  readonly unpackedRatio: number;
  readonly members: number;
  /** Bytes of `info/index.json`. */
  readonly indexBytes: number;
  /** Bytes of any other `info/` file that the inspection reads. */
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
  /** From `subdir`, or derived from `noarch`, `platform` and `arch`; undefined when the package has none of them. */
  readonly subdir: string | undefined;
  /** `{name}-{version}-{build}.{extension}`, always rebuilt from the metadata. */
  readonly fileName: string;
  /** Milliseconds; 0 when the package has none. */
  readonly timestamp: number;
};

/** Data of a package that is stored as JSON beside its record. */
export type PackageMetadata = {
  readonly about: Readonly<Record<string, unknown>>;
  /** CEP 12 form: `{weak: [...], strong: [...]}`; `{}` when the package exports nothing. */
  readonly runExports: Readonly<Record<string, readonly string[]>>;
  /**
   * Properties shown to people: `pre-link`, `post-link`, `pre-unlink`, `post-unlink`, `activate`, `deactivate`,
   * `entry-points`, `external-links`, `binary-prefix`, `text-prefix`, `no-payload`.
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
  /** The name of the uploaded file; gives the expected format. */
  readonly fileName: string;
  readonly limits: ArchiveLimits;
  /** ms UTC; when present, a later `timestamp` is a warning. */
  readonly now?: number;
  /** CPU time used so far in ms; when present, it is limited. */
  readonly busy?: () => number;
};
