// The conda format of the index: its documents, how to build and check each, and the codec of their bytes.

import type { IndexFormat } from "../index/format.ts";
import { checkDocument } from "./check/documents.ts";
import { builderOf, storedLayouts } from "./documents/builders.ts";
import { emptyDocument } from "./documents/empty.ts";
import { requireDocumentName } from "./documents/names.ts";
import { requireReadable } from "./documents/unreadable.ts";
import { CONDA_CODEC, restoreShard } from "./shards/index.ts";

export const condaIndex: IndexFormat = {
  codec: CONDA_CODEC,
  kept: storedLayouts,
  builderOf,
  empty: (section, name, address) => emptyDocument(section, requireDocumentName(name), address),
  requireReadable,
  restoreShard,
  check: checkDocument,
};
