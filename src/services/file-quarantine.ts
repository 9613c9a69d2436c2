// The quarantine of files: what is stored of it, what it forbids, and its change for many files of a channel at once.

import { z } from "zod";
import { AppError, type ErrorCode } from "../errors.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { lockContents } from "../models/locks.ts";
import type { PackageFileRow } from "../models/package-file.ts";
import { filesNow, quarantinedWith, setStates, type QuarantinedFile } from "../models/quarantine.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditEvent } from "./audit.ts";
import { reviseNames } from "./changed-names.ts";
import type { StoredChannel } from "./channel-ref.ts";

const stored = z.object({
  reason: z.string(),
  /** `server`: by an administrator, for the bytes in every channel; `channel`: by a maintainer, for its channel alone. */
  scope: z.enum(["server", "channel"]),
  /** The state to return to. */
  before: z.enum(["active", "yanked"]),
  /** ms UTC */
  since: z.int(),
});

export type Quarantine = Readonly<z.infer<typeof stored>>;
type Held = Pick<PackageFileRow, "state" | "quarantine">;

/** Undefined for a file that is not quarantined. */
export function quarantineOf({ state, quarantine }: Held): Quarantine | undefined {
  if (state !== "quarantined") return undefined;
  return quarantine === null
    ? { reason: "no reason was given", scope: "server", before: "active", since: 0 }
    : stored.parse(JSON.parse(quarantine));
}

/** `what` says what is refused because of it, for example "cannot be deleted". */
export function quarantinedError(
  file: Held & Pick<PackageFileRow, "section" | "fileName">,
  what: string,
  code: ErrorCode = "conflict",
): AppError {
  const { reason, scope } = quarantineOf(file) ?? {};
  const who = scope === "channel" ? "A maintainer of the channel" : "An administrator";
  return new AppError(
    code,
    `${file.section}/${file.fileName} is quarantined and ${what}. Reason: ${reason}. ${who} can release it.`,
  );
}

/**
 * Errors: `unprocessable` when these bytes are quarantined for the channel. The reason is that of another channel, so it
 * is not told.
 */
export async function refuseQuarantinedBytes(
  reader: Reader,
  channel: Pick<ChannelRow, "id"> | undefined,
  sha256: string,
): Promise<void> {
  const files = await quarantinedWith(reader, sha256);
  const isHeld = files.some((file) => quarantineOf(file)?.scope === "server" || file.channelId === channel?.id);
  if (!isHeld) return;
  throw new AppError(
    "unprocessable",
    "These bytes are quarantined: they cannot be published under any name. Publish a package with other content, or " +
      "ask an administrator of the server to release them.",
  );
}

export type QuarantineChange =
  | { readonly kind: "quarantine"; readonly reason: string; readonly scope: Quarantine["scope"] }
  | { readonly kind: "release" };

/** Whether the change has anything to do; an administrator's quarantine replaces that of a maintainer. */
export function concerns(file: Held, change: QuarantineChange): boolean {
  const current = quarantineOf(file);
  if (change.kind === "release") return current !== undefined;
  return current === undefined || (current.scope === "channel" && change.scope === "server");
}

/** Files of a statement. */
const CHUNK = 500;

export type QuarantineUnit = {
  readonly to: StoredChannel;
  readonly ids: readonly number[];
  readonly change: QuarantineChange;
  readonly actor: Actor;
  /** ms UTC */
  readonly at: number;
};

/**
 * Changes those of the files that need it, as one revision of a channel that is locked. Returns their number, and the
 * revision; undefined when none needs it.
 */
export async function changeQuarantine(
  tx: Transaction,
  unit: QuarantineUnit,
): Promise<{ readonly files: number; readonly revision: number } | undefined> {
  const { to, ids, change, actor, at } = unit;
  const files: QuarantinedFile[] = [];
  for (const chunk of chunksOf(ids)) {
    await lockContents(tx, chunk);
    const now = await filesNow(tx, to.channel.id, chunk);
    files.push(...now.filter((file) => concerns(file, change)));
  }
  if (files.length === 0) return undefined;
  await store(tx, files, change, at);
  const revision = await reviseNames(tx, { channelId: to.channel.id, files, actor, at });
  await recordAudit(tx, actor, ...files.map((file) => eventOf(unit, file, revision)));
  return { files: files.length, revision };
}

async function store(
  tx: Transaction,
  files: readonly QuarantinedFile[],
  change: QuarantineChange,
  at: number,
): Promise<void> {
  const byState = Map.groupBy(files, (file) => quarantineOf(file)?.before ?? usualState(file));
  for (const [before, group] of byState) {
    const values =
      change.kind === "release"
        ? { state: before, quarantine: null }
        : { state: "quarantined" as const, quarantine: textOf({ ...change, before, since: at }) };
    for (const chunk of chunksOf(group.map(({ id }) => id))) await setStates(tx, chunk, values);
  }
}

function usualState({ state }: Held): Quarantine["before"] {
  return state === "yanked" ? "yanked" : "active";
}

function textOf({ reason, scope, before, since }: Quarantine): string {
  return JSON.stringify({ reason, scope, before, since });
}

function eventOf({ to, change, at }: QuarantineUnit, file: QuarantinedFile, revision: number): AuditEvent {
  const detail =
    change.kind === "release"
      ? { sha256: file.sha256, revision }
      : { reason: change.reason, scope: change.scope, sha256: file.sha256, revision };
  return { at, action: change.kind, ...to, subject: `${file.section}/${file.fileName}`, detail };
}

function* chunksOf<T>(all: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let at = 0; at < all.length; at += CHUNK) yield all.slice(at, at + CHUNK);
}

/** Errors: `conflict` when one of the files is quarantined. */
export function refuseQuarantined(
  files: readonly (Held & Pick<PackageFileRow, "section" | "fileName">)[],
  what: string,
) {
  const held = files.find(({ state }) => state === "quarantined");
  if (held) throw quarantinedError(held, what);
}
