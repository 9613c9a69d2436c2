// `current_repodata.json`: a closure over dependencies, so one choice over all stored summaries, one per name.

import { scopeKey, type IndexScope } from "../../../models/index/scope.ts";
import { chooseInSteps, createNameSummary, type Choice } from "../../../modules/conda/current-repodata.ts";
import { compareText, formatOf, orderKey } from "../../../modules/conda/file-name.ts";
import { REPODATA_MIDDLE, repodataEntry, repodataHead, repodataTail } from "../../../modules/conda/repodata.ts";
import { eachRecord } from "../../index/records.ts";
import { catchUpNames } from "../../index/catch-up/names.ts";
import type { CatchUpParts, NameValue, Progress } from "../../index/catch-up/parts.ts";
import type { Composition } from "../../index/segments/compose.ts";
import { folderOf } from "../../index/documents.ts";
import type { DocumentName } from "./names.ts";
import { entryOf } from "./layouts.ts";
import { holding } from "../../index/steps/holds.ts";
import type { Work } from "../../index/steps/long-work.ts";
import { spoolText } from "../../index/files/spool.ts";

/** Only the classic solver requests this document; above this limit `repodata.json` serves it better. */
export const MOST_NAMES = 20_000;
/** Bytes of the text: enough for that many names with a few files each. */
const MOST_BYTES = 256 * 1024 ** 2;
/** Units of work; a choice above this also needs much memory. */
const SMALL_WORK = 500_000;

export async function catchUpCurrent(work: CatchUpParts, scope: IndexScope): Promise<Progress> {
  async function* valueOf(name: string): Work<NameValue> {
    const summary = createNameSummary();
    const skipped = yield* eachRecord(work.records.ofName(scope, name), summary.add);
    const text = summary.text();
    return { value: text === undefined ? undefined : Buffer.from(text), skipped };
  }
  return await catchUpNames(work, scope, {
    valueOf,
    bytesOf: (name) => work.records.bytesOfName(scope, name),
    atOnce: 1,
  });
}

/** Returns the document, or the reason why it is not offered. */
export async function* composeCurrent(
  work: CatchUpParts,
  scope: IndexScope,
  name: DocumentName,
): Work<Composition | string> {
  if (work.derived.countEntries(scope) > MOST_NAMES) return `More than ${MOST_NAMES} package names: use repodata.json.`;
  const key = `${scopeKey(scope)} ${name}`;
  const choice = yield* choose(work, scope, key);
  if (choice === undefined) return "The packages have too many dependencies for this document: use repodata.json.";
  const options = {
    form: name.endsWith(".zst") ? "zst" : "json",
    most: MOST_BYTES,
    draft: () => work.files.draft(folderOf(scope, { section: scope.section, name })),
  } as const;
  const composition = yield* spoolText(textOf(work, scope, choice), options);
  return composition ?? `More than ${MOST_BYTES / 1024 ** 2} MiB: use repodata.json.`;
}

async function* choose({ derived, large }: CatchUpParts, scope: IndexScope, key: string): Work<Choice> {
  const steps = chooseInSteps({
    all: () => derived.eachEntry(scope).map(({ value }) => Buffer.from(value).toString()),
    of: (name) => {
      const value = derived.entry(scope, name);
      return value && Buffer.from(value).toString();
    },
  });
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    if (step.value > SMALL_WORK) break;
    yield "step";
  }
  return yield* holding(large, "memory", key, async function* () {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value;
      yield "step";
    }
  });
}

/** Characters per part of the text. */
const PART_CHARACTERS = 32 * 1024;

/** Same text as `composeRepodata`, with few records in memory at once. */
async function* textOf(
  { records }: CatchUpParts,
  scope: IndexScope,
  chosen: readonly string[],
): AsyncGenerator<string, void, undefined> {
  const sorted = chosen
    .map((fileName) => ({ fileName, key: orderKey(fileName) }))
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ fileName }) => fileName);
  async function* entries(format: "conda" | "tar.bz2"): AsyncGenerator<string, void, undefined> {
    let [held, comma] = ["", ""];
    for (const fileName of sorted) {
      if (formatOf(fileName) !== format) continue;
      const file = await records.one(scope, fileName);
      if (!file) continue;
      held += comma + repodataEntry(entryOf(file));
      comma = ",";
      if (held.length < PART_CHARACTERS) continue;
      yield held;
      held = "";
    }
    yield held;
  }
  yield repodataHead(scope.section);
  yield* entries("tar.bz2");
  yield REPODATA_MIDDLE;
  yield* entries("conda");
  yield repodataTail([]);
}
