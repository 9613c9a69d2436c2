// Brings what is kept for a scope up to the channel's revision: by what changed, or from nothing, in bounded steps.

import { latestRevision, revisionIdentity } from "../../../models/channel.ts";
import type { RevisionPoint, DerivedState } from "../../../models/index/db.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import { changedNames } from "../../../models/index-part.ts";
import { updateOf, type Update } from "./cursor.ts";
import { BEFORE_ANY, type CatchUpParts, type Progress } from "./parts.ts";

/** Where a step has stopped, null at the end; `isWaiting` for something else that has to end first. */
export type Stop = { readonly cursor: string | null; readonly isWaiting: boolean };

/** What is kept, and how a step of it is made. What a step brings is of `revision` or later. */
export type Kept = {
  /** More changed names cost more one by one than a build from nothing. */
  readonly mostNames: number;
  /** Goes on from the cursor, at first the empty one. */
  build(cursor: string, revision: number): Promise<Stop>;
  /** Brings in the names that have changed, in their order. */
  update(names: readonly string[], update: Update, revision: number): Promise<Stop>;
};

/** One step, inside one snapshot of the main database. */
export async function catchUp(parts: CatchUpParts, scope: IndexScope, kept: Kept): Promise<Progress> {
  const { derived, reader } = parts;
  const point = (await latestRevision(reader, scope.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, scope);
  if (state?.cursor === null && state.revision === point.revision) return { kind: "current", point };
  const update = state && updateOf(state);
  const names = update ? await changedNames(reader, { ...scope, revision: update.since }) : [];
  const isUpdate = update !== undefined && names.length <= kept.mostNames;
  // What changes while several steps go on is caught up after the last.
  const begun = state && state.cursor !== null && isUpdate === (update !== undefined) ? state : undefined;
  const { revision, identity } = begun ?? point;
  if (!isUpdate && !begun) derived.transact(() => derived.discard(scope));
  const { cursor, isWaiting } = isUpdate
    ? await kept.update(names, update, revision)
    : await kept.build(begun?.cursor ?? "", revision);
  derived.transact(() => derived.setState(scope, { revision, identity, cursor, highWater: point }));
  if (cursor === null && revision === point.revision) return { kind: "current", point };
  return { kind: "more", isWaiting };
}

/** The state of a scope, if this database is the one it was derived from; whatever else there is of the channel goes. */
async function trustedState(parts: CatchUpParts, scope: IndexScope): Promise<DerivedState | undefined> {
  const state = parts.derived.state(scope);
  if (!state) return undefined;
  if ((await isOfThisDatabase(parts, scope, state)) && (await isOfThisDatabase(parts, scope, state.highWater)))
    return state;
  parts.derived.transact(() => parts.derived.discard({ channelId: scope.channelId }));
  return undefined;
}

async function isOfThisDatabase(
  { reader }: CatchUpParts,
  { channelId }: IndexScope,
  { revision, identity }: RevisionPoint,
): Promise<boolean> {
  const known = revision === 0 ? "" : await revisionIdentity(reader, channelId, revision);
  return known === identity;
}
