// All files of a package name in a section, with their blobs, for deleting the name.

import { and, asc, eq } from "drizzle-orm";
import type { Reader } from "./database.ts";
import type { PackageFileWithBlob } from "./package-file.ts";
import { packageBlob, packageFile } from "./schema/index.ts";

/** The first `limit` files by file name, in any state. */
export async function filesOfName(
  reader: Reader,
  key: { readonly channelId: number; readonly section: string; readonly name: string },
  limit: number,
): Promise<PackageFileWithBlob[]> {
  const rows = await reader
    .select({ file: packageFile, blob: packageBlob })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(
      and(
        eq(packageFile.channelId, key.channelId),
        eq(packageFile.section, key.section),
        eq(packageFile.packageName, key.name),
      ),
    )
    .orderBy(asc(packageFile.fileName))
    .limit(limit);
  return rows.map((row) => ({ ...row.file, blob: row.blob }));
}
