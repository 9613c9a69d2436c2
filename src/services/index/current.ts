// `current_repodata.json`: a closure over dependencies, so it is chosen as a whole from one kept summary a name.

import type { DerivedPlace } from "../../models/derived-place.ts";
import { filesOfName, indexedFile } from "../../models/package-file.ts";
import { chooseCurrent, summarizeName } from "../../modules/conda/current-repodata.ts";
import { composeRepodata, type RepodataEntry } from "../../modules/conda/repodata.ts";
import { isReadable, ofReadable } from "./aside.ts";
import { catchUpNames, type NameValue } from "./catch-up.ts";
import type { CatchUpParts, Progress } from "./catch-up-parts.ts";
import { entryOf } from "./families.ts";

/** Past this the classic solver, which alone asks for it, is better off with `repodata.json`. */
export const MOST_NAMES = 20_000;

export async function catchUpCurrent(work: CatchUpParts, place: DerivedPlace): Promise<Progress> {
  const valueOf = async (name: string): Promise<NameValue> => {
    const files = (await filesOfName(work.reader, place, name)).filter((file) => file.state === "active");
    const { value: summary, aside } = ofReadable(files, summarizeName);
    return { value: summary === undefined ? undefined : Buffer.from(summary), aside };
  };
  return await catchUpNames(work, place, { valueOf, atOnce: 1 });
}

/** Undefined when the section has too many names. */
export async function composeCurrent(work: CatchUpParts, place: DerivedPlace): Promise<string | undefined> {
  const { derived, reader } = work;
  if (derived.countEntries(place) > MOST_NAMES) return undefined;
  const chosen = chooseCurrent({
    all: () => derived.eachEntry(place).map(({ value }) => textOf(value)),
    of: (name) => {
      const value = derived.entry(place, name);
      return value && textOf(value);
    },
  });
  const entries: RepodataEntry[] = [];
  for (const fileName of chosen) {
    const file = await indexedFile(reader, { ...place, fileName });
    if (file && isReadable(file)) entries.push(entryOf(file));
  }
  return composeRepodata(place.section, entries, []);
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString();
}
