// The files of a backup. The format is independent of the database engine.
//
//   backup.json                      the manifest, written last: it names the files of the newest complete backup
//   rows/{name}/{table}.jsonl.zst    the rows of a table, one JSON object per line, keyed by column name
//   rows/{name}/contents.jsonl.zst   every blob and its file list, ordered by the sha256 of the blob
//   blobs/aa/bb/{sha256}             the packages, with file lists in files/…, as in the data folder

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { malformed, usage } from "../../errors.ts";
import { hasCode } from "../../modules/storage/disk-errors.ts";

/** Raised when a release that knows only the previous format would misread a backup. */
export const BACKUP_FORMAT = 1;
export const MANIFEST = "backup.json";
/** Exists while a backup is running, and after an interrupted backup. */
export const UNFINISHED = "unfinished";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const rowFile = z.object({ rows: count, bytes: count, sha256 });

const manifest = z.object({
  format: z.int().min(1),
  /** The condarium version that wrote the backup. */
  condarium: z.string(),
  /** The schema number of the rows. */
  schema: z.int().min(1),
  /** ms UTC: the time of the database snapshot. */
  created: count,
  /** The folder of the rows. */
  rows: z.string().regex(/^rows\/[0-9a-f-]+$/),
  tables: z.array(rowFile.extend({ name: z.string().regex(/^[a-z_]+$/), last_id: count.nullable() })),
  contents: rowFile.extend({ blob_bytes: count, file_list_bytes: count }),
});
export type Manifest = z.infer<typeof manifest>;

const content = z.object({
  sha256,
  /** Null for a blob that was not copied: missing or damaged at its source. */
  size: count.nullable(),
  /** Null when the blob has no file list. */
  file_list: z.object({ size: count, sha256 }).nullable(),
});
/** A line of `contents`. */
export type Content = z.infer<typeof content>;

/** Errors: `malformed` for a line that is none. */
export function parseContent(line: unknown): Content {
  const result = content.safeParse(line);
  if (result.success) return result.data;
  throw malformed(`A line of the contents is not valid: ${problemOf(result.error)}.`);
}

/** Says where a value differs from its schema, in words for people. */
export function problemOf({ issues }: z.core.$ZodError): string {
  const path = issues[0]?.path ?? [];
  if (path.length === 0) return "it is not a JSON object with the members of this format";
  return `its member ${path.map(String).join(".").slice(0, 80)} is missing or not valid`;
}

export function rowPath(folder: string, { rows }: Pick<Manifest, "rows">, name: string): string {
  return join(folder, rows, `${name}.jsonl.zst`);
}

/** The manifest of a folder; undefined when there is none. Errors: `usage` when it is damaged or has a newer format. */
export async function findManifest(folder: string): Promise<Manifest | undefined> {
  const path = join(folder, MANIFEST);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw usage(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const format = z.object({ format: z.int() }).safeParse(json(text));
  if (format.data && format.data.format > BACKUP_FORMAT)
    throw usage(
      `${path} has format ${format.data.format}; this condarium supports ${BACKUP_FORMAT}. Use a newer condarium.`,
    );
  const result = manifest.safeParse(json(text));
  if (result.success) return result.data;
  throw usage(`${path} is damaged: ${problemOf(result.error)}. Use another backup, or back up into an empty folder.`);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
