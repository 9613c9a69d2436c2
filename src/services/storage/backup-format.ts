// How a backup lies in its folder. Nothing of it belongs to one engine.
//
//   backup.json                      the manifest, written last: what it names is the newest whole backup
//   rows/{name}/{table}.jsonl.zst    the rows of a table, a line of JSON each, by the names of the columns
//   rows/{name}/contents.jsonl.zst   every blob and its file list, in the order of the blobs' hashes
//   blobs/aa/bb/{sha256}             the packages, files/… their lists of files, as in the data folder

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { usage } from "../../errors.ts";
import { hasCode } from "../../modules/storage/disk-errors.ts";

/** Raised when a reader of the one before would read something wrongly. */
export const BACKUP_FORMAT = 1;
export const MANIFEST = "backup.json";
/** There while a backup is being made, and left behind by one that was cut off. */
export const UNFINISHED = "unfinished";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);
const rowFile = z.object({ rows: count, bytes: count, sha256 });

const manifest = z.object({
  format: z.int().min(1),
  /** The version that wrote it. */
  condarium: z.string(),
  /** The number of the schema that the rows are of. */
  schema: z.int().min(1),
  /** ms UTC: the moment that the rows are of. */
  created: count,
  /** The folder of the rows. */
  rows: z.string().regex(/^rows\/[0-9a-f-]+$/),
  tables: z.array(rowFile.extend({ name: z.string().regex(/^[a-z_]+$/), last_id: count.nullable() })),
  contents: rowFile.extend({ blob_bytes: count, file_list_bytes: count }),
});
export type Manifest = z.infer<typeof manifest>;

const content = z.object({
  sha256,
  /** Null for a blob that no file refers to and that had gone. */
  size: count.nullable(),
  /** Null where there is none. */
  file_list: z.object({ size: count, sha256 }).nullable(),
});
/** A line of `contents`. */
export type Content = z.infer<typeof content>;
export const parseContent = (line: unknown): Content => content.parse(line);

export function rowPath(folder: string, { rows }: Pick<Manifest, "rows">, name: string): string {
  return join(folder, rows, `${name}.jsonl.zst`);
}

/** Undefined when there is none. Errors: `usage` when it is damaged, or of a newer release. */
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
    throw usage(`${path} is of format ${format.data.format}; this condarium knows ${BACKUP_FORMAT}. Use a newer one.`);
  const result = manifest.safeParse(json(text));
  if (result.success) return result.data;
  throw usage(`${path} is damaged: ${z.prettifyError(result.error)}`);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
