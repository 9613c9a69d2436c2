// The contents of a group in index.db, decompressed.

import type { Derived } from "../../src/models/index/db.ts";
import type { GroupScope } from "../../src/models/index/segments.ts";
import { textOf } from "../../src/services/index/segments/encode.ts";
import type { Segment } from "../../src/services/index/segments/chunking.ts";

export function storedSegments(derived: Derived, scope: GroupScope): Segment[] {
  const segments: Segment[] = [];
  for (let row = derived.segmentAt(scope, ""); row; row = derived.segmentAfter(scope, row.start))
    segments.push({ start: row.start, text: textOf(row).toString() });
  return segments;
}
