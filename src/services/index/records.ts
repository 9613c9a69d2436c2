// Records as documents hold them, and those that no document can hold, which are set aside.

import type { AsideRecord } from "../../models/index/db.ts";
import type { IndexedFile } from "../../models/package-file.ts";

export function asideRecord({ packageName, section, fileName }: IndexedFile, error: unknown): AsideRecord {
  const reason = error instanceof Error ? error.message : "unreadable";
  return { packageName, path: `${section}/${fileName}`, reason };
}
