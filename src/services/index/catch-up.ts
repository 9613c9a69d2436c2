// Brings the segments of a place up to the channel's revision: by what changed, or from nothing in bounded steps.

import { latestRevision, revisionIdentity } from "../../models/channel.ts";
import type { Reader } from "../../models/database.ts";
import type {
  AsideRecord,
  Derived,
  DerivedPlace,
  DerivedState,
  SegmentPlace,
  SegmentRow,
} from "../../models/derived.ts";
import { changedNames } from "../../models/index-part.ts";
import { filesOfName, pageOfSection, type IndexedFile } from "../../models/package-file.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { compressPiece, decompressPiece } from "../../modules/splice/zstd-frame.ts";
import { asideRecord, requireReadable } from "./aside.ts";
import type { Family, Group } from "./families.ts";
import { createCutter, keyAfterName, keyBeforeName, keyOf, placeOfKey, type Entry, type Segment } from "./segments.ts";

export type Moment = { readonly revision: number; readonly identity: string; readonly at: number };

export type CatchUpParts = {
  readonly reader: Reader;
  readonly derived: Derived;
  readonly clock: Clock;
  readonly blobs: Pick<BlobStore, "stat" | "put">;
  /** How long one step may take, in ms, before others get their turn. */
  readonly budget: number;
};

/** `more` asks for another step. */
export type Progress = { readonly kind: "current" | "more"; readonly moment: Moment };

export const BEFORE_ANY: Moment = { revision: 0, identity: "", at: 0 };
/** So many changed names cost more one by one than building anew. */
const MANY_NAMES = 2000;
const PAGE = 500;
/** Each may wait for the disk, so some wait side by side. */
const NAMES_AT_ONCE = 16;

/** One step, inside one snapshot of the main database. */
export async function catchUpSegments(parts: CatchUpParts, place: DerivedPlace, family: Family): Promise<Progress> {
  const moment = (await latestRevision(parts.reader, place.channelId)) ?? BEFORE_ANY;
  const state = await trustedState(parts, place);
  if (state?.cursor === null) {
    if (state.revision === moment.revision) return { kind: "current", moment };
    const names = await changedNames(parts.reader, { ...place, revision: state.revision });
    if (names.length <= MANY_NAMES) {
      await updateNames(parts, place, family, names);
      parts.derived.transact(() => parts.derived.setState(place, { ...moment, cursor: null }));
      return { kind: "current", moment };
    }
  }
  const begun = state && state.cursor !== null ? state : { ...moment, cursor: "" };
  if (state?.cursor === null || !state) parts.derived.transact(() => parts.derived.discard(place));
  return await buildStep(parts, place, family, { state: begun, moment });
}

/** What is kept of a name, undefined when there is nothing any more, and which of its records that leaves out. */
export type NameValue = { readonly value: Uint8Array | undefined; readonly aside: readonly AsideRecord[] };

/** The same for places that keep one small value a name, which `valueOf` makes from the snapshot. */
export async function catchUpNames(
  parts: CatchUpParts,
  place: DerivedPlace,
  valueOf: (name: string) => Promise<NameValue>,
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
  const names = await changedNames(reader, { channelId: place.channelId, section, revision: since });
  const cursor = state?.cursor ?? "";
  const ahead = names.filter((name) => name > cursor);
  for (let at = 0; at < ahead.length; at += NAMES_AT_ONCE) {
    const some = ahead.slice(at, at + NAMES_AT_ONCE);
    const values = await Promise.all(some.map(async (name) => ({ name, ...(await valueOf(name)) })));
    const isLate = since < 0 && clock.elapsed() - started > parts.budget && at + NAMES_AT_ONCE < ahead.length;
    derived.transact(() => {
      for (const { name, value, aside } of values) {
        derived.setEntry(place, name, value);
        derived.clearAside(place, name);
        for (const record of aside) derived.setAside(place, record);
      }
      if (isLate) derived.setState(place, { ...target, cursor: some.at(-1) ?? cursor });
    });
    if (isLate) return { kind: "more", moment };
  }
  derived.transact(() => derived.setState(place, { ...target, cursor: null }));
  return { kind: target.revision === moment.revision ? "current" : "more", moment };
}

/** The state of a place, if this database is the one it was derived from; whatever else there is of the channel goes. */
export async function trustedState(
  parts: Pick<CatchUpParts, "reader" | "derived">,
  place: DerivedPlace,
): Promise<DerivedState | undefined> {
  const state = parts.derived.state(place);
  if (!state) return undefined;
  const identity = state.revision === 0 ? "" : await revisionIdentity(parts.reader, place.channelId, state.revision);
  if (identity === state.identity) return state;
  parts.derived.transact(() => parts.derived.discard({ channelId: place.channelId }));
  return undefined;
}

async function updateNames(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    if (parts.derived.isAside(place, name)) parts.derived.transact(() => parts.derived.clearAside(place, name));
  }
  for (const group of family.groups) {
    const target = { ...place, group: group.name };
    // All before the first is written, as a name's old entries tell that its boundaries may go.
    const concerned: string[] = [];
    for (const name of names) if (await concerns(parts, target, group, name)) concerned.push(name);
    let done = "";
    for (const name of concerned) {
      // The range of a name before may have gone past this one already.
      if (done !== "" && keyAfterName(name) < done) continue;
      const from = parts.derived.naturalStartBefore(target, keyBeforeName(name));
      const until = parts.derived.naturalStartAfter(target, keyAfterName(name));
      await rebuildRange(parts, place, { group, from, until });
      if (until === undefined) break;
      done = until;
    }
  }
}

/** Whether a name has entries in a group, or had: else a change would look for few files among many of another kind. */
async function concerns(parts: CatchUpParts, target: SegmentPlace, group: Group, name: string): Promise<boolean> {
  const around = parts.derived.segmentsAround(target, keyBeforeName(name), keyAfterName(name));
  const mark = `"${name}-`;
  for (const { blocks, size, window } of around) {
    const text = decompressPiece({ blocks, size, windowSize: window });
    if (Buffer.from(text.buffer, text.byteOffset, text.byteLength).includes(mark)) return true;
  }
  const files = await filesOfName(parts.reader, target, name);
  return files.some((file) => file.state === "active" && entryOf(parts, target, group, file) !== undefined);
}

type Range = { readonly group: Group; readonly from: string; readonly until: string | undefined };

async function rebuildRange(parts: CatchUpParts, place: DerivedPlace, range: Range): Promise<void> {
  const { derived } = parts;
  const target = { ...place, group: range.group.name };
  const known = new Map(derived.segmentsIn(target, range.from, range.until).map((row) => [row.hash, row]));
  const cutter = createCutter(range.from);
  const segments: Segment[] = [];
  for await (const file of filesBetween(parts.reader, place, range)) {
    const entry = entryOf(parts, place, range.group, file);
    if (entry) segments.push(...cutter.add(entry).segments);
  }
  segments.push(...cutter.end());
  const rows = segments.map((segment) => compressed(segment, known));
  derived.transact(() => derived.replaceSegments(target, range, rows));
}

/** Where a build from nothing goes on: entries after `after` belong to the stretch that begins at `start`. */
type Cursor = { readonly group: number; readonly start: string; readonly after: string };

/** Goes on where the last step ended, one group after the other. */
async function buildStep(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  build: { readonly state: DerivedState; readonly moment: Moment },
): Promise<Progress> {
  const { derived, clock } = parts;
  const deadline = clock.elapsed() + parts.budget;
  const save = (cursor: Cursor | null): void =>
    derived.transact(() =>
      derived.setState(place, { ...build.state, cursor: cursor === null ? null : JSON.stringify(cursor) }),
    );
  const begin: Cursor = build.state.cursor === "" ? BEGINNING : JSON.parse(build.state.cursor ?? "");
  for (let at = begin; at.group < family.groups.length; at = { ...BEGINNING, group: at.group + 1 }) {
    const stopped = await buildGroup(parts, place, family, at, deadline);
    if (stopped) {
      save(stopped);
      return { kind: "more", moment: build.moment };
    }
  }
  save(null);
  // What changed while the build went on is caught up by the next step.
  return { kind: build.state.revision === build.moment.revision ? "current" : "more", moment: build.moment };
}

const BEGINNING: Cursor = { group: 0, start: "", after: "" };

/** Writes a group's segments until its end or the deadline; answers where it stopped. */
async function buildGroup(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  cursor: Cursor,
  deadline: number,
): Promise<Cursor | undefined> {
  const { derived, clock } = parts;
  const group = family.groups[cursor.group];
  if (!group) return undefined;
  const target = { ...place, group: group.name };
  const write = (segments: readonly Segment[]): void => {
    const rows = segments.map((segment) => compressed(segment, NOTHING_KNOWN));
    derived.transact(() => addSegments(derived, target, rows));
  };
  const cutter = createCutter(cursor.start);
  let isEmpty = true;
  for await (const file of filesBetween(parts.reader, place, { group, from: cursor.after, until: undefined })) {
    const entry = entryOf(parts, target, group, file);
    if (entry) {
      const { segments, boundary } = cutter.add(entry);
      isEmpty = false;
      if (segments.length > 0) write(segments);
      if (boundary !== undefined && clock.elapsed() > deadline) return { ...cursor, start: boundary, after: boundary };
    } else if (isEmpty && clock.elapsed() > deadline) {
      return { ...cursor, after: keyOf(file) };
    }
  }
  write(cutter.end());
  return undefined;
}

const NOTHING_KNOWN: ReadonlyMap<string, SegmentRow> = new Map();

/** A step that was cut off may have written some of these before. */
function addSegments(derived: Derived, target: SegmentPlace, rows: readonly SegmentRow[]): void {
  const first = rows[0];
  if (first) derived.replaceSegments(target, { from: first.start, until: undefined }, rows);
}

function compressed(segment: Segment, known: ReadonlyMap<string, SegmentRow>): SegmentRow {
  const { start, natural, text } = segment;
  const bytes = Buffer.from(text);
  const hash = sha256Hex(bytes);
  const same = known.get(hash);
  if (same) return { ...same, start, natural };
  const piece = compressPiece(bytes);
  return { start, natural, hash, size: bytes.byteLength, window: piece.windowSize, blocks: piece.blocks };
}

function entryOf({ derived }: CatchUpParts, place: DerivedPlace, group: Group, file: IndexedFile): Entry | undefined {
  const { packageName, fileName } = file;
  let text: string | undefined;
  try {
    requireReadable(file);
    text = group.entry(file);
  } catch (error) {
    derived.transact(() => derived.setAside(place, asideRecord(file, error)));
    return undefined;
  }
  // Damage that was mended by hand leaves no change of the name behind.
  const path = `${file.section}/${fileName}`;
  if (derived.isAside(place, packageName, path)) derived.transact(() => derived.clearAside(place, packageName, path));
  return text === undefined ? undefined : { packageName, fileName, text };
}

async function* filesBetween(
  reader: Reader,
  place: DerivedPlace,
  range: Range,
): AsyncGenerator<IndexedFile, void, undefined> {
  let after = placeOfKey(range.from);
  const until = range.until === undefined ? undefined : placeOfKey(range.until);
  for (;;) {
    const page = await pageOfSection(reader, { ...place, after, until, ending: range.group.ending, limit: PAGE });
    for (const file of page) if (file.state === "active") yield file;
    if (page.length < PAGE) return;
    after = page.at(-1);
  }
}
