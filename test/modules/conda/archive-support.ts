// Shared by the tests of the inspection: bytes in, findings and file list out.

import { ARCHIVE_LIMITS, type ArchiveLimits, type Inspection } from "../../../src/modules/conda/archive.ts";
import { inspectArchive } from "../../../src/modules/conda/inspect-archive.ts";
import { useTempFolder } from "../archive/support.ts";

export type Inspector = (
  bytes: Uint8Array,
  fileName: string,
  options?: { limits?: Partial<ArchiveLimits>; now?: number; busy?: () => number },
) => Promise<Inspection>;

export function useInspector(): Inspector {
  const folder = useTempFolder();
  return (bytes, fileName, { limits, ...options } = {}) =>
    inspectArchive(folder.write(bytes), { fileName, limits: { ...ARCHIVE_LIMITS, ...limits }, ...options });
}

/** Whether the package is refused, and the rules of all findings, each once. */
export function verdictOf(inspection: Inspection): string[] {
  return [inspection.kind, ...new Set(inspection.findings.map(({ rule }) => rule))];
}

export type ListedFile = { path: string; size: number; type: string; mode: number };

export function readFileList(list: Uint8Array): ListedFile[] {
  const lines = Bun.zstdDecompressSync(list).toString().split("\n").slice(0, -1);
  return lines.map((line): ListedFile => JSON.parse(line));
}
