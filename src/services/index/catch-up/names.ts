// Brings scopes that store one small value per package name up to the channel's revision.

import { scopeKey, type IndexScope } from "../../../models/index/scope.ts";
import { nextNames } from "../../../models/index-part.ts";
import { finish, type Advance, type Work } from "../steps/long-work.ts";
import { cursorOf } from "./cursor.ts";
import { catchUp } from "./driver.ts";
import type { CatchUpParts, NameValue, Progress } from "./parts.ts";

export type NameWork = {
  /** Computes the value of a name. */
  valueOf(name: string): Work<NameValue>;
  /** Bytes of the records from which the value is computed. */
  bytesOf(name: string): Promise<number>;
  /** How many values are computed concurrently: several where each waits for the disk. */
  readonly atOnce: number;
};

/** Names that a step of a full build looks up; its time budget suffices for some of them. */
const NAMES_A_STEP = 500;
/** A value computed from at most this many bytes takes no longer than a step. */
const SHORT_BYTES = 1024 ** 2;

export async function catchUpNames(parts: CatchUpParts, scope: IndexScope, work: NameWork): Promise<Progress> {
  return await catchUp(parts, scope, {
    maxNames: Number.POSITIVE_INFINITY,
    build: async (cursor, revision) => {
      const names = await nextNames(parts.reader, scope, { after: cursor, limit: NAMES_A_STEP });
      const isLast = names.length < NAMES_A_STEP;
      const { after, isWaiting } = await computeNames(parts, scope, work, { names, isLast, after: cursor, revision });
      return { cursor: after ?? null, isWaiting };
    },
    update: async (changed, update, revision) => {
      const names = changed.filter((name) => name > update.after);
      const todo = { names, isLast: true, after: update.after, revision };
      const { after, isWaiting } = await computeNames(parts, scope, work, todo);
      return { cursor: after === undefined ? null : cursorOf({ ...update, after }), isWaiting };
    },
  });
}

type NamesToCompute = {
  readonly names: readonly string[];
  /** Whether no other names follow. */
  readonly isLast: boolean;
  /** The last finished name. */
  readonly after: string;
  readonly revision: number;
};

/** Returns the last finished name; undefined when all are finished. */
async function computeNames(
  parts: CatchUpParts,
  scope: IndexScope,
  work: NameWork,
  { names, isLast, after, revision }: NamesToCompute,
): Promise<{ readonly after: string | undefined; readonly isWaiting: boolean }> {
  const deadline = parts.clock.elapsed() + parts.budget;
  const isLate = (): boolean => parts.clock.elapsed() > deadline;
  let lastDone = after;
  for (let at = 0; at < names.length;) {
    const batch = await nextBatch(names.slice(at, at + work.atOnce), work);
    const values = await valuesOf(parts, { ...scope, revision }, batch, work, isLate);
    if (!("value" in values)) return { after: lastDone, isWaiting: values.isWaiting };
    store(parts, scope, values.value);
    at += batch.names.length;
    lastDone = batch.names.at(-1) ?? lastDone;
    if ((at < names.length || !isLast) && isLate()) return { after: lastDone, isWaiting: false };
  }
  return { after: isLast ? undefined : lastDone, isWaiting: false };
}

type NameBatch = { readonly names: readonly string[]; readonly isLong: boolean };

/** The first names that together have at most `SHORT_BYTES`, or the first name alone if it has more. */
async function nextBatch(names: readonly string[], { bytesOf }: NameWork): Promise<NameBatch> {
  const short: string[] = [];
  let bytes = 0;
  for (const name of names) {
    const size = await bytesOf(name);
    if (size > SHORT_BYTES && short.length === 0) return { names: [name], isLong: true };
    bytes += size;
    if (bytes > SHORT_BYTES) break;
    short.push(name);
  }
  return { names: short, isLong: false };
}

type NamedValue = NameValue & { readonly name: string };

async function valuesOf(
  { names: longNames }: CatchUpParts,
  scope: IndexScope & { readonly revision: number },
  { names, isLong }: NameBatch,
  { valueOf }: NameWork,
  isLate: () => boolean,
): Promise<Advance<readonly NamedValue[]>> {
  const [first] = names;
  if (isLong && first !== undefined) {
    // The work has read this revision or a later one; later changes of the name are caught up afterwards.
    const key = `${scopeKey(scope)} ${scope.revision} ${first}`;
    const outcome = await longNames.advance(key, () => valueOf(first), isLate);
    return outcome.kind === "done" ? { kind: "done", value: [{ name: first, ...outcome.value }] } : outcome;
  }
  const value = await Promise.all(names.map(async (name) => ({ name, ...(await finish(valueOf(name))) })));
  return { kind: "done", value };
}

function store({ derived }: CatchUpParts, scope: IndexScope, values: readonly NamedValue[]): void {
  derived.transact(() => {
    for (const { name, value, skipped } of values) {
      derived.setEntry(scope, name, value);
      derived.clearSkipped(scope, name);
      for (const record of skipped) derived.skip(scope, record);
    }
  });
}
