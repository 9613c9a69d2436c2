// What the index is told of conda: its documents, how each is made and checked, and what decides their bytes.

import type { IndexFormat } from "../index/format.ts";
import { checkDocument } from "./check/documents.ts";
import { builderOf, keptLayouts } from "./documents/builders.ts";
import { emptyDocument } from "./documents/empty.ts";
import { requireDocumentName } from "./documents/names.ts";
import { requireReadable } from "./documents/unreadable.ts";
import { CONDA_CODEC, restoreShard } from "./shards/index.ts";

export const condaIndex: IndexFormat = {
  codec: CONDA_CODEC,
  kept: keptLayouts,
  builderOf,
  empty: (section, name, address) => emptyDocument(section, requireDocumentName(name), address),
  requireReadable,
  restoreShard,
  check: checkDocument,
};
