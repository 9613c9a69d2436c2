// Brings scopes that keep one small value a name up to the channel's revision.

import { scopeKey, type IndexScope } from "../../../models/index/scope.ts";
import { nextNames } from "../../../models/index-part.ts";
import { finish, type Advance, type Work } from "../steps/long-work.ts";
import { cursorOf } from "./cursor.ts";
import { catchUp } from "./driver.ts";
import type { CatchUpParts, NameValue, Progress } from "./parts.ts";

export type NameWork = {
  /** Makes the value. */
  valueOf(name: string): Work<NameValue>;
  /** Bytes of what it is made of. */
  bytesOf(name: string): Promise<number>;
  /** How many are made side by side: several where each waits for the disk. */
  readonly atOnce: number;
};

/** So many names are looked up for a step of a build from nothing, which has time for some of them. */
const NAMES_A_STEP = 500;
/** What is made of fewer bytes takes no longer than a step. */
const SHORT_BYTES = 1024 ** 2;

export async function catchUpNames(parts: CatchUpParts, scope: IndexScope, work: NameWork): Promise<Progress> {
  return await catchUp(parts, scope, {
    mostNames: Number.POSITIVE_INFINITY,
    build: async (cursor, revision) => {
      const names = await nextNames(parts.reader, scope, { after: cursor, limit: NAMES_A_STEP });
      const isLast = names.length < NAMES_A_STEP;
      const { after, isWaiting } = await makeNames(parts, scope, work, { names, isLast, after: cursor, revision });
      return { cursor: after ?? null, isWaiting };
    },
    update: async (changed, update, revision) => {
      const names = changed.filter((name) => name > update.after);
      const todo = { names, isLast: true, after: update.after, revision };
      const { after, isWaiting } = await makeNames(parts, scope, work, todo);
      return { cursor: after === undefined ? null : cursorOf({ ...update, after }), isWaiting };
    },
  });
}

type NamesToMake = {
  readonly names: readonly string[];
  /** Whether no other names follow these. */
  readonly isLast: boolean;
  /** The last name that is done. */
  readonly after: string;
  readonly revision: number;
};

/** Answers the last name that is done, undefined when all are. */
async function makeNames(
  parts: CatchUpParts,
  scope: IndexScope,
  work: NameWork,
  { names, isLast, after, revision }: NamesToMake,
): Promise<{ readonly after: string | undefined; readonly isWaiting: boolean }> {
  const deadline = parts.clock.elapsed() + parts.budget;
  const isLate = (): boolean => parts.clock.elapsed() > deadline;
  let done = after;
  for (let at = 0; at < names.length;) {
    const some = await namesAtOnce(names.slice(at, at + work.atOnce), work);
    const values = await valuesOf(parts, { ...scope, revision }, some, work, isLate);
    if (!("value" in values)) return { after: done, isWaiting: values.isWaiting };
    store(parts, scope, values.value);
    at += some.names.length;
    done = some.names.at(-1) ?? done;
    if ((at < names.length || !isLast) && isLate()) return { after: done, isWaiting: false };
  }
  return { after: isLast ? undefined : done, isWaiting: false };
}

type NamesAtOnce = { readonly names: readonly string[]; readonly isLong: boolean };

/** The first of these that together are made of few bytes, or one that is made of many. */
async function namesAtOnce(names: readonly string[], { bytesOf }: NameWork): Promise<NamesAtOnce> {
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
  { names: underWay }: CatchUpParts,
  scope: IndexScope & { readonly revision: number },
  { names, isLong }: NamesAtOnce,
  { valueOf }: NameWork,
  isLate: () => boolean,
): Promise<Advance<readonly NamedValue[]>> {
  const [first] = names;
  if (isLong && first !== undefined) {
    // What it has read is of this revision or later; later changes of the name are caught up after.
    const key = `${scopeKey(scope)} ${scope.revision} ${first}`;
    const outcome = await underWay.advance(key, () => valueOf(first), isLate);
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
