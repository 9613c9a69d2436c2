// Brings the derived data of a scope up to the channel's revision in bounded steps: by an update or a full build.

import { latestRevision, revisionIdentity } from "../../../models/channel.ts";
import type { RevisionPoint, DerivedState } from "../../../models/index/db.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import { changedNames } from "../../../models/index-part.ts";
import { updateOf, type Update } from "./cursor.ts";
import { BEFORE_ANY, type CatchUpParts, type Progress } from "./parts.ts";

/** `cursor`: where a step stopped, null at the end. `isWaiting`: other work has to end before the next step. */
export type StepResult = { readonly cursor: string | null; readonly isWaiting: boolean };

/** The steps that build and update the data of a scope. A step reads records at `revision` or later. */
export type CatchUpSteps = {
  /** With more changed names, a full build is cheaper than an update. */
  readonly maxNames: number;
  /** One step of a full build, from `cursor` on; the first cursor is empty. */
  build(cursor: string, revision: number): Promise<StepResult>;
  /** One step of an update; `names` are all changed names, in order. */
  update(names: readonly string[], update: Update, revision: number): Promise<StepResult>;
};

/** Runs one step, inside one snapshot of the main database. */
export async function catchUp(parts: CatchUpParts, scope: IndexScope, steps: CatchUpSteps): Promise<Progress> {
  const { derived, reader } = parts;
  const point = (await latestRevision(reader, scope.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, scope);
  if (state?.cursor === null && state.revision === point.revision) return { kind: "current", point };
  const update = state && updateOf(state);
  const names = update ? await changedNames(reader, { ...scope, revision: update.since }) : [];
  const isUpdate = update !== undefined && names.length <= steps.maxNames;
  // Changes that arrive between the steps are caught up after the last step.
  const resumed = state && state.cursor !== null && isUpdate === (update !== undefined) ? state : undefined;
  const { revision, identity } = resumed ?? point;
  if (!isUpdate && !resumed) derived.transact(() => derived.discard(scope));
  const { cursor, isWaiting } = isUpdate
    ? await steps.update(names, update, revision)
    : await steps.build(resumed?.cursor ?? "", revision);
  derived.transact(() => derived.setState(scope, { revision, identity, cursor, highWater: point }));
  if (cursor === null && revision === point.revision) return { kind: "current", point };
  return { kind: "more", isWaiting };
}

/** The state of a scope, if it was derived from this database; otherwise discards all derived data of the channel. */
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
  const expected = revision === 0 ? "" : await revisionIdentity(reader, channelId, revision);
  return expected === identity;
}
