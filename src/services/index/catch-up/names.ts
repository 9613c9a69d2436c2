// Brings scopes that keep one small value a name up to the channel's revision, in bounded steps.

import { latestRevision } from "../../../models/channel.ts";
import { scopeKey, type IndexScope } from "../../../models/index/scope.ts";
import type { DerivedState } from "../../../models/index/db.ts";
import { changedNames, nextNames } from "../../../models/index-part.ts";
import { setState, trustedState } from "./segments.ts";
import { BEFORE_ANY, type CatchUpParts, type NameValue, type Progress } from "./parts.ts";
import { finish, type Advance, type Work } from "../steps/long-work.ts";
import { cursorOf, updateOf, type Update } from "./cursor.ts";

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
  const { derived, reader, clock } = parts;
  const deadline = clock.elapsed() + parts.budget;
  const isLate = (): boolean => clock.elapsed() > deadline;
  const moment = (await latestRevision(reader, scope.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, scope);
  if (state?.cursor === null && state.revision === moment.revision) return { kind: "current", moment };
  if (!state) derived.transact(() => derived.discard(scope));
  // Several steps go by name and may be cut off after any of them; what changes meanwhile is caught up after.
  const { revision, identity } = state && state.cursor !== null ? state : moment;
  const update = state && updateOf(state);
  const { names, isLast } = await namesToDo(parts, scope, state, update);
  const stop = (after: string, isWaiting: boolean): Progress => {
    const cursor = update ? cursorOf({ ...update, after }) : after;
    setState(parts, scope, { revision, identity, cursor, ahead: moment });
    return { kind: "more", isWaiting };
  };
  let done = update ? update.after : (state?.cursor ?? "");
  for (let at = 0; at < names.length;) {
    const some = await namesAtOnce(names.slice(at, at + work.atOnce), work);
    const values = await valuesOf(parts, { ...scope, revision }, some, work, isLate);
    if (!("value" in values)) return stop(done, values.isWaiting);
    store(parts, scope, values.value);
    at += some.names.length;
    done = some.names.at(-1) ?? done;
    if ((at < names.length || !isLast) && isLate()) return stop(done, false);
  }
  if (!isLast) return stop(done, false);
  setState(parts, scope, { revision, identity, cursor: null, ahead: moment });
  return revision === moment.revision ? { kind: "current", moment } : { kind: "more", isWaiting: false };
}

async function namesToDo(
  { reader }: CatchUpParts,
  scope: IndexScope,
  state: DerivedState | undefined,
  update: Update | undefined,
): Promise<{ readonly names: readonly string[]; readonly isLast: boolean }> {
  if (update) {
    const names = await changedNames(reader, { ...scope, revision: update.since });
    return { names: names.filter((name) => name > update.after), isLast: true };
  }
  const after = state?.cursor ?? "";
  const names = await nextNames(reader, scope, { after, limit: NAMES_A_STEP });
  return { names, isLast: names.length < NAMES_A_STEP };
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
    for (const { name, value, aside } of values) {
      derived.setEntry(scope, name, value);
      derived.clearAside(scope, name);
      for (const record of aside) derived.setAside(scope, record);
    }
  });
}
