// The world of the access matrix: organizations, channels, accounts and credentials, one of each kind that counts.

import { COMMAND_LINE } from "../../../src/services/actor.ts";
import { createToken } from "../../../src/modules/ids.ts";
import { bytesOf } from "../answers.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "../app.ts";
import { bearer } from "../api.ts";
import { shardHashes, shardIndexOf } from "../documents.ts";
import { newToken } from "../manage.ts";
import { buildPackage, type BuiltPackage } from "../package-builder.ts";
import { statementsOf } from "../statements.ts";
import { turnOn } from "../two-factor.ts";
import { ACTORS, outcomeOf } from "./rights.ts";

/** An owner and a channel for each column of the tables. What is not public has a canary in its name. */
export const CHANNELS: Readonly<Record<string, readonly [owner: string, channel: string]>> = {
  public: ["acme", "public"],
  internal: ["acme", "cny-internal"],
  private: ["acme", "cny-private"],
  closed: ["cny-closed", "main"],
  hidden: ["cny-veiled", "main"],
  absent: ["acme", "absent"],
  nowhere: ["nobody", "main"],
};
export const OWNERS: Readonly<Record<string, string>> = {
  "open org": "acme",
  "internal org": "cny-inner",
  "private org": "cny-closed",
  "hidden org": "cny-veiled",
  "private user": "cny-pia",
  nobody: "nobody",
};
const ORGANIZATIONS = ["open org", "internal org", "private org", "hidden org"] as const;
const STORED = ["public", "internal", "private", "closed", "hidden"] as const;
const ROLES = { reader: "reader", publisher: "publisher", maintainer: "maintainer", "channel owner": "owner" } as const;

/** The name of the account behind each actor. */
const ACCOUNTS: Readonly<Record<string, string>> = {
  stranger: "stranger",
  reader: "reader",
  publisher: "publisher",
  maintainer: "maintainer",
  "channel owner": "chan-owner",
  owner: "olga",
  "team member": "tessa",
  clerk: "clerk",
  "narrow member": "nora",
  robot: "acme/robo",
  "removed member": "remi",
  administrator: "boss",
  "administrator without two-factor": "bare",
  "administrator's token without two-factor": "bare",
  "administrator's lesser token": "boss",
  "administrator's bound token": "boss",
  "metrics token": "boss",
  "stranger's token": "stranger",
  "disabled user's token": "goner",
};

type Limits = { scopes: string[]; channels?: string[]; packages?: string[]; lifetime?: number };

/** Tokens, of `olga` unless the actor has an account of its own. */
const TOKENS: Readonly<Record<string, Limits>> = {
  robot: { scopes: ["all"] },
  administrator: { scopes: ["all"] },
  "administrator's token without two-factor": { scopes: ["all"] },
  "administrator's lesser token": { scopes: ["read:package"] },
  "administrator's bound token": { scopes: ["all"], channels: ["acme/public"] },
  "metrics token": { scopes: ["read:metrics"] },
  "stranger's token": { scopes: ["all"] },
  "disabled user's token": { scopes: ["all"] },
  "expired token": { scopes: ["all"], lifetime: 1 },
  "revoked token": { scopes: ["all"] },
  "token for all": { scopes: ["all"] },
  "token without scopes": { scopes: [] },
  "token to write": { scopes: ["write:package"] },
  "token to delete": { scopes: ["delete:package"] },
  "token to manage": { scopes: ["manage:channel"] },
  "public-only token": { scopes: ["all", "public-only"] },
  "token for another channel": { scopes: ["all"], channels: ["acme/other"] },
  "token for another package": { scopes: ["all"], packages: ["other*"] },
};

/** `all` are maintainers of all that the organization has. */
export type Teams = { readonly all: number; readonly owners: number };

export type World = {
  readonly server: TestApp;
  /** The credential of an actor as headers. */
  readonly headers: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** The same in the path, for those that have a token. */
  readonly tokens: ReadonlyMap<string, string>;
  /** The path of a shard below `noarch/`, by channel. */
  readonly shards: ReadonlyMap<string, string>;
  /** Ids of two teams, by the place of the organization. */
  readonly teams: ReadonlyMap<string, Teams>;
  /** The id of a token of `cny-pia`. */
  readonly tokenOfPia: number;
  /** Everything that must be in no line of the log. */
  readonly secrets: readonly string[];
};

/** The place of the organization that has a channel, or would have it. */
export function organizationOf(place: string): string {
  return place === "closed" ? "private org" : place === "hidden" ? "hidden org" : "open org";
}

export function accountOf(actor: string): string {
  return ACCOUNTS[actor] ?? "olga";
}

export function hasToken(actor: string): boolean {
  return actor in TOKENS;
}

/** In every channel: one package that can be downloaded, and one in quarantine. */
export function packagesOf(place: string): { readonly seed: BuiltPackage; readonly held: BuiltPackage } {
  const prefix = place === "public" ? "open" : `cny-${place}`;
  return {
    seed: buildPackage({ name: `${prefix}-package`, version: "1" }),
    held: buildPackage({ name: `${prefix}-held`, version: "1" }),
  };
}

export async function createWorld(): Promise<World> {
  const server = await startTestApp({ settings: { "require-two-factor": "admins", "uploads-per-account": "64" } });
  for (const name of new Set(Object.values(ACCOUNTS))) if (!name.includes("/")) await addUser(server, name);
  for (const name of ["cny-pia", "quiet"]) await addUser(server, name);
  for (const name of ["cny-pia", "olga", "boss"])
    await server.manage.users.change(name, { email: `cny-mail-${name.replace("cny-", "")}@example.org` });
  const factor = await turnOn(server, "boss", { now: Date.now, pass: () => undefined });
  const teams = new Map<string, Teams>();
  for (const place of ORGANIZATIONS) teams.set(place, await addOrganization(server, place));
  for (const place of STORED) await addChannel(server, place, teams.get(organizationOf(place))?.all ?? 0);
  for (const place of ORGANIZATIONS) await addGeneric(server, OWNERS[place] ?? "");
  await addGeneric(server, "cny-pia");
  const { headers, tokens } = await credentials(server);
  await settle(server);
  const shards = new Map<string, string>();
  for (const place of STORED) shards.set(place, await shardOf(server, place, headers.get("administrator") ?? {}));
  await hide(server);
  const secrets = [PASSWORD, factor.secret, ...factor.recoveryCodes, ...tokens.values()];
  const [ofPia] = await server.manage.tokens.list("cny-pia");
  return { server, headers, tokens, shards, teams, tokenOfPia: ofPia?.id ?? 0, secrets };
}

async function addUser(server: TestApp, name: string): Promise<void> {
  await server.addUser(name, { admin: name === "boss" || name === "bare" });
}

async function addOrganization(server: TestApp, place: string): Promise<Teams> {
  const { organizations, teams, robots, grants } = server.manage;
  const name = OWNERS[place] ?? "";
  const description = place === "open org" ? "" : `cny-about-${name.slice("cny-".length)}`;
  await organizations.create({ name, owner: "olga", visibility: "public", description });
  const all = { name: `cny-team-${name}`, role: "maintainer" } as const;
  const { id } = await teams.create(name, all);
  await teams.addMember(id, "tessa");
  await robots.create(name, `cny-robot-${name}`);
  if (place === "open org") {
    await teams.create(name, { name: "narrow", role: "publisher", channels: ["cny-private"], packages: ["mine*"] });
    await teams.addMember({ organization: name, team: "narrow" }, "nora");
    await teams.create(name, { name: "robots", role: "publisher" });
    for (const robot of ["robo", "spare"]) await robots.create(name, robot);
    await teams.addMember({ organization: name, team: "robots" }, "acme/robo");
  }
  await grants.set({ owner: name, channel: undefined }, "clerk", "maintainer");
  await teams.addMember({ organization: name, team: "Owners" }, "remi");
  const owners = (await teams.list(name)).find((team) => team.name === "Owners");
  return { all: id, owners: owners?.id ?? 0 };
}

/** Everything is published while it is public, by the administrator that the commands are. */
async function addChannel(server: TestApp, place: string, team: number): Promise<void> {
  const { channels, grants } = server.manage;
  const [owner = "", channel = ""] = CHANNELS[place] ?? [];
  const description = place === "public" ? "" : `cny-text-${place}`;
  const visibility = place === "internal" || place === "private" ? place : "public";
  await channels.create({ owner, channel }, { visibility, description });
  for (const [actor, role] of Object.entries(ROLES)) await grants.set({ owner, channel }, accountOf(actor), role);
  await grants.set({ owner, channel }, { team }, "reader");
  await grants.set({ owner, channel }, "remi", "owner");
  const { seed, held } = packagesOf(place);
  for (const built of [seed, held]) {
    const { status } = await server
      .as("olga")
      .put(`/api/packages/${owner}/conda/${channel}/${built.fileName}`, built.bytes);
    if (status !== 201) throw new Error(`${place} got ${status}`);
  }
  const address = { channel: { owner, channel }, section: "noarch", fileName: held.fileName };
  const reason = place === "public" ? "a test" : `cny-reason-${place}`;
  await server.app.quarantines.quarantine(COMMAND_LINE, address, reason);
}

async function addGeneric(server: TestApp, owner: string): Promise<void> {
  const path = `/api/packages/${owner}/generic/seed/1/seed.bin`;
  const { status } = await server.as(owner === "cny-pia" ? owner : "olga").put(path, Buffer.from("seed"));
  if (status !== 201) throw new Error(`${path} got ${status}`);
}

async function credentials(server: TestApp): Promise<Pick<World, "headers" | "tokens">> {
  const headers = new Map<string, Record<string, string>>([["anonymous", {}]]);
  const tokens = new Map([["unknown token", createToken()]]);
  for (const [name, limits] of Object.entries(TOKENS)) {
    tokens.set(name, await newToken(server.manage, { user: accountOf(name), name: name.replace("'", ""), ...limits }));
  }
  await newToken(server.manage, { user: "cny-pia", name: "cny-token" });
  for (const actor of ACTORS) {
    const token = tokens.get(actor);
    if (token !== undefined) headers.set(actor, bearer(token));
    else if (actor !== "anonymous") headers.set(actor, basic(accountOf(actor), PASSWORD));
  }
  return { headers, tokens };
}

/** What ends rights comes last. */
async function settle({ manage }: TestApp): Promise<void> {
  await manage.tokens.revoke("olga", "revoked token");
  await manage.users.setDisabled("goner", true);
  for (const place of ORGANIZATIONS) await manage.organizations.removeMember(OWNERS[place] ?? "", "remi");
}

async function hide(server: TestApp): Promise<void> {
  const { manage } = server;
  await manage.organizations.change("cny-inner", { visibility: "internal" });
  await manage.organizations.change("cny-closed", { visibility: "private" });
  await manage.channels.change({ owner: "cny-pia", channel: undefined }, { visibility: "private" });
  const { all } = await statementsOf(server);
  await all("UPDATE owner SET hidden = true WHERE name = 'cny-veiled'");
}

async function shardOf(server: TestApp, place: string, headers: Record<string, string>): Promise<string> {
  const path = `${(CHANNELS[place] ?? []).join("/")}/noarch/repodata_shards.msgpack.zst`;
  const index = shardIndexOf(await bytesOf(await server.anonymous.get(`/${path}`, headers)));
  const [hash = ""] = Object.values(shardHashes(index));
  return `shards/${hash}.msgpack.zst`;
}

/** A text that only some actors can learn: those with one of these rights, and these. */
type Canary = {
  readonly text: string;
  readonly rights: readonly (readonly [action: string, place: string])[];
  readonly actors?: readonly string[];
};

const ADMINISTER: Canary["rights"] = [["administer", "the server"]];

const CANARIES: readonly Canary[] = [
  ...(["internal", "private", "closed", "hidden"] as const).flatMap((place): Canary[] =>
    ["package", "held", "text", "reason"].map((word) => ({
      text: word === "text" || word === "reason" ? `cny-${word}-${place}` : `cny-${place}-${word}`,
      rights: [["read", place]],
    })),
  ),
  { text: "cny-internal", rights: [["read", "internal"]] },
  { text: "cny-private", rights: [["read", "private"]] },
  {
    text: "cny-inner",
    rights: [
      ["view", "internal org"],
      ["read unnamed", "internal org"],
    ],
  },
  {
    text: "cny-closed",
    rights: [
      ["view", "private org"],
      ["read", "closed"],
    ],
  },
  {
    text: "cny-veiled",
    // Whoever has a role there is told that it is hidden; the same accounts have one in the private organization.
    rights: [
      ["read", "closed"],
      ["view", "hidden org"],
      ["read", "hidden"],
    ],
  },
  { text: "cny-pia", rights: [["view", "private user"]] },
  ...(["internal org", "private org", "hidden org"] as const).map((place): Canary => ({
    text: `cny-about-${(OWNERS[place] ?? "").slice("cny-".length)}`,
    rights: [["view", place]],
  })),
  ...ORGANIZATIONS.flatMap((place): Canary[] =>
    ["team", "robot"].map((word) => ({
      text: `cny-${word}-${OWNERS[place]}`,
      // The audit trail of an owner has them too, and so have the roles on a channel.
      rights: [
        ["belong", place],
        ["manage owner", place],
        ...STORED.filter((channel) => organizationOf(channel) === place).map((channel) => ["manage", channel] as const),
      ],
    })),
  ),
  // An address is for its user, by what covers all of the user's rights.
  { text: "cny-mail-pia", rights: ADMINISTER },
  { text: "cny-mail-boss", rights: ADMINISTER },
  { text: "cny-mail-olga", rights: ADMINISTER, actors: ["owner", "token for all"] },
  { text: "cny-token", rights: [["tokens", "other user"]] },
];

/** The canaries in a text that the actor may not learn, and did not send. */
export function leaksIn(text: string, actor: string, sent: string): string[] {
  if (!text.includes("cny-")) return [];
  // Longest first: the name of a team contains that of its organization.
  let rest = text;
  const leaks: string[] = [];
  for (const { text: canary, rights, actors } of LONGEST_FIRST) {
    if (!rest.includes(canary)) continue;
    rest = rest.replaceAll(canary, "");
    if (sent.includes(canary) || actors?.includes(actor) === true) continue;
    if (!rights.some(([action, place]) => outcomeOf(action, actor, place) === "+")) leaks.push(canary);
  }
  return leaks;
}

const LONGEST_FIRST = CANARIES.toSorted((one, other) => other.text.length - one.text.length);
