// What index.db holds of a group, decompressed.

import type { Derived } from "../../src/models/index/db.ts";
import type { GroupScope } from "../../src/models/index/segments.ts";
import { textOf } from "../../src/services/index/segments/encode.ts";
import type { Segment } from "../../src/services/index/segments/chunking.ts";

export function storedSegments(derived: Derived, place: GroupScope): Segment[] {
  const segments: Segment[] = [];
  for (let row = derived.segmentAt(place, ""); row; row = derived.segmentAfter(place, row.start))
    segments.push({ start: row.start, text: textOf(row).toString() });
  return segments;
}
