// Brings the segments of a place up to the channel's revision: by what changed, or from nothing in bounded steps.

import { latestRevision, revisionIdentity } from "../../models/channel.ts";
import type { DerivedPlace } from "../../models/derived-place.ts";
import type { AsideRecord, DerivedPoint, DerivedState } from "../../models/derived.ts";
import { changedNames, nextNames } from "../../models/index-part.ts";
import { BEFORE_ANY, type CatchUpParts, type Progress } from "./catch-up-parts.ts";
import type { Family } from "./families.ts";
import { buildSegments } from "./segment-build.ts";
import { updateSegments } from "./segment-update.ts";

/** So many changed names cost more one by one than building anew. */
const MANY_NAMES = 2000;
/** So many are looked up for a step of a build from nothing, which has time for some of them. */
const NAMES_A_STEP = 500;

/** One step, inside one snapshot of the main database. */
export async function catchUpSegments(parts: CatchUpParts, place: DerivedPlace, family: Family): Promise<Progress> {
  const moment = (await latestRevision(parts.reader, place.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, place);
  if (state?.cursor === null) {
    if (state.revision === moment.revision) return { kind: "current", moment };
    const names = await changedNames(parts.reader, { ...place, revision: state.revision });
    if (names.length <= MANY_NAMES) {
      await updateSegments(parts, place, family, names);
      setState(parts, place, { ...moment, cursor: null, ahead: moment });
      return { kind: "current", moment };
    }
  }
  const begun = state && state.cursor !== null ? state : { ...moment, cursor: "" };
  if (state?.cursor === null || !state) parts.derived.transact(() => parts.derived.discard(place));
  const cursor = await buildSegments(parts, place, family, begun.cursor);
  setState(parts, place, { ...begun, cursor, ahead: moment });
  // What changed while the build went on is caught up by the next step.
  return { kind: cursor === null && begun.revision === moment.revision ? "current" : "more", moment };
}

/** What is kept of a name, undefined when there is nothing any more, and which of its records that leaves out. */
export type NameValue = { readonly value: Uint8Array | undefined; readonly aside: readonly AsideRecord[] };

export type NameWork = {
  /** Makes the value from the snapshot. */
  valueOf(name: string): Promise<NameValue>;
  /** How many are made side by side: several where each waits for the disk. */
  readonly atOnce: number;
};

/** The same for places that keep one small value a name. */
export async function catchUpNames(
  parts: CatchUpParts,
  place: DerivedPlace,
  { valueOf, atOnce }: NameWork,
): Promise<Progress> {
  const { derived, reader, clock } = parts;
  const started = clock.elapsed();
  const moment = (await latestRevision(reader, place.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, place);
  if (state?.cursor === null && state.revision === moment.revision) return { kind: "current", moment };
  const since = state?.cursor === null ? state.revision : -1;
  if (!state) derived.transact(() => derived.discard(place));
  // A build from nothing goes by name and may be cut off after any of them; what changes meanwhile is caught up after.
  const target = state && state.cursor !== null ? state : moment;
  const section = place.section === "" ? undefined : place.section;
  const cursor = state?.cursor ?? "";
  const names =
    since < 0
      ? await nextNames(reader, { channelId: place.channelId, section }, { after: cursor, limit: NAMES_A_STEP })
      : await changedNames(reader, { channelId: place.channelId, section, revision: since });
  const isLast = since >= 0 || names.length < NAMES_A_STEP;
  for (let at = 0; at < names.length; at += atOnce) {
    const some = names.slice(at, at + atOnce);
    const values = await Promise.all(some.map(async (name) => ({ name, ...(await valueOf(name)) })));
    derived.transact(() => {
      for (const { name, value, aside } of values) {
        derived.setEntry(place, name, value);
        derived.clearAside(place, name);
        for (const record of aside) derived.setAside(place, record);
      }
    });
    const isOver = at + atOnce >= names.length;
    if (since < 0 && (isOver ? !isLast : clock.elapsed() - started > parts.budget)) {
      setState(parts, place, { ...target, cursor: some.at(-1) ?? cursor, ahead: moment });
      return { kind: "more", moment };
    }
  }
  setState(parts, place, { ...target, cursor: null, ahead: moment });
  return { kind: target.revision === moment.revision ? "current" : "more", moment };
}

/** The state of a place, if this database is the one it was derived from; whatever else there is of the channel goes. */
export async function trustedState(
  parts: Pick<CatchUpParts, "reader" | "derived">,
  place: DerivedPlace,
): Promise<DerivedState | undefined> {
  const state = parts.derived.state(place);
  if (!state) return undefined;
  if ((await isOfThisDatabase(parts, place, state)) && (await isOfThisDatabase(parts, place, state.ahead)))
    return state;
  parts.derived.transact(() => parts.derived.discard({ channelId: place.channelId }));
  return undefined;
}

async function isOfThisDatabase(
  { reader }: Pick<CatchUpParts, "reader">,
  { channelId }: DerivedPlace,
  { revision, identity }: DerivedPoint,
): Promise<boolean> {
  const known = revision === 0 ? "" : await revisionIdentity(reader, channelId, revision);
  return known === identity;
}

function setState({ derived }: CatchUpParts, place: DerivedPlace, state: DerivedState): void {
  derived.transact(() => derived.setState(place, state));
}
