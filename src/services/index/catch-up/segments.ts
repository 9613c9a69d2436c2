// Brings the segments of a scope up to the channel's revision: by what changed, or from nothing, in bounded steps.

import { latestRevision, revisionIdentity } from "../../../models/channel.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import type { DerivedPoint, DerivedState } from "../../../models/index/db.ts";
import { changedNames } from "../../../models/index-part.ts";
import { BEFORE_ANY, type CatchUpParts, type Progress } from "./parts.ts";
import type { Layout } from "../segments/layout.ts";
import { buildSegments } from "../segments/build.ts";
import { updateSegments } from "../segments/update.ts";
import { updateOf } from "./cursor.ts";

/** So many changed names cost more one by one than building anew. */
const MANY_NAMES = 2000;

/** One step, inside one snapshot of the main database. */
export async function catchUpSegments(parts: CatchUpParts, scope: IndexScope, layout: Layout): Promise<Progress> {
  const moment = (await latestRevision(parts.reader, scope.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, scope);
  if (state?.cursor === null && state.revision === moment.revision) return { kind: "current", moment };
  const update = state && updateOf(state);
  const names = update ? await changedNames(parts.reader, { ...scope, revision: update.since }) : [];
  const isUpdate = update !== undefined && names.length <= MANY_NAMES;
  // What changes while several steps go on is caught up after the last.
  const target = state && state.cursor !== null && isUpdate === (update !== undefined) ? state : moment;
  let cursor: string | null;
  if (isUpdate) {
    cursor = await updateSegments(parts, scope, layout, { names, update });
  } else {
    const isBegun = state !== undefined && state.cursor !== null && !update;
    if (!isBegun) parts.derived.transact(() => parts.derived.discard(scope));
    cursor = await buildSegments(parts, scope, layout, isBegun ? state.cursor : "");
  }
  setState(parts, scope, { revision: target.revision, identity: target.identity, cursor, ahead: moment });
  if (cursor === null && target.revision === moment.revision) return { kind: "current", moment };
  return { kind: "more", isWaiting: false };
}

/** The state of a scope, if this database is the one it was derived from; whatever else there is of the channel goes. */
export async function trustedState(
  parts: Pick<CatchUpParts, "reader" | "derived">,
  scope: IndexScope,
): Promise<DerivedState | undefined> {
  const state = parts.derived.state(scope);
  if (!state) return undefined;
  if ((await isOfThisDatabase(parts, scope, state)) && (await isOfThisDatabase(parts, scope, state.ahead)))
    return state;
  parts.derived.transact(() => parts.derived.discard({ channelId: scope.channelId }));
  return undefined;
}

async function isOfThisDatabase(
  { reader }: Pick<CatchUpParts, "reader">,
  { channelId }: IndexScope,
  { revision, identity }: DerivedPoint,
): Promise<boolean> {
  const known = revision === 0 ? "" : await revisionIdentity(reader, channelId, revision);
  return known === identity;
}

export function setState({ derived }: Pick<CatchUpParts, "derived">, scope: IndexScope, state: DerivedState): void {
  derived.transact(() => derived.setState(scope, state));
}
