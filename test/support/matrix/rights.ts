// Who is allowed what, written down independently of the server's rules: the statuses of every actor, by kind of action.

import { rightsTable } from "../rights-table.ts";

/** The columns of the tables: what an action is about. `world.ts` creates what exists of it. */
export const PLACES = {
  /** Channels of a public organization; of a private one; of a hidden one; a missing one; and one of a missing owner. */
  channel: ["public", "internal", "private", "closed", "hidden", "absent", "nowhere"],
  /** Three organizations by visibility, a hidden one, a private user, and nobody. */
  owner: ["open org", "internal org", "private org", "hidden org", "private user", "nobody"],
  /** The actor itself, another user, robots of three organizations, and two that do not exist. */
  account: ["self", "other user", "robot", "closed robot", "hidden robot", "no user", "no robot"],
  server: ["the server"],
} as const;

export type Kind = keyof typeof PLACES;

/** Several actors with the same rights everywhere. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  strangers: ["stranger", "removed member", "stranger's token", "administrator's token without two-factor"],
  /** Roles on channels alone; `clerk` is a maintainer of all that the organizations have, but in no team. */
  grantees: ["reader", "publisher", "maintainer", "channel owner"],
  /** Tokens of the owner that concern everything, but cannot do everything. */
  lesser: ["token without scopes", "token to write", "token to delete", "token to manage"],
  /** Tokens for all scopes, of the owner, that are bound to something. */
  bound: ["public-only token", "token for another channel", "token for another package"],
};

/** Whoever has such a credential is refused by every action but `open`, on whatever target. */
const REFUSED: Readonly<Record<string, number>> = {
  "disabled user's token": 401,
  "expired token": 401,
  "revoked token": 401,
  "unknown token": 401,
  "administrator without two-factor": 403,
};

/**
 * + is allowed; a number is the status of the refusal. Without a login it is 401. With one, a stranger gets what it would
 * get if the target did not exist: 403 where package clients ask, 404 from the API; who can read the target gets 403.
 */
const TABLES: Readonly<Record<string, { readonly kind: Kind; readonly text: string }>> = {
  read: {
    kind: "channel",
    text: `
      + 401 401 401 401 401 401  anonymous
      + + 403 403 403 403 403  strangers
      + + + + 403 403 403  grantees, owner, team member, clerk, token for all, lesser, token for another package
      + + + 403 403 403 403  narrow member, robot
      + + + + + 403 403  administrator, administrator's lesser token
      + 403 403 403 403 403 403  public-only token, token for another channel, administrator's bound token
      403 403 403 403 403 403 403  metrics token
    `,
  },
  publish: {
    kind: "channel",
    text: `
      401 401 401 401 401 401 401  anonymous
      403 403 403 403 403 403 403  strangers, reader, token without scopes, token to delete, token to manage,
        token for another channel, token for another package, administrator's lesser token, metrics token
      + + + + 403 403 403  publisher, maintainer, channel owner, team member, clerk
      + + + + 403 + 403  owner, token for all, token to write
      403 403 + 403 403 403 403  narrow member
      + + + 403 403 403 403  robot
      + + + + + + 403  administrator
      + 403 403 403 403 + 403  public-only token
      + 403 403 403 403 403 403  administrator's bound token
    `,
  },
  delete: {
    kind: "channel",
    text: `
      401 401 401 401 401 401 401  anonymous
      403 403 403 403 403 403 403  strangers, reader, publisher, narrow member, robot, token without scopes, token to write,
        token to manage, token for another channel, token for another package, administrator's lesser token, metrics token
      + + + + 403 403 403  maintainer, channel owner, owner, team member, clerk, token for all, token to delete
      + + + + + 403 403  administrator
      + 403 403 403 403 403 403  public-only token, administrator's bound token
    `,
  },
  /** Of the API. */
  show: {
    kind: "channel",
    text: `
      + 401 401 401 401 401 401  anonymous
      + + 404 404 404 404 404  strangers
      + + + + 403 404 404  grantees, owner, team member, clerk, token for all, lesser, token for another package
      + + + 404 404 404 404  narrow member, robot
      + + + + + 404 404  administrator, administrator's lesser token
      + 404 404 404 404 404 404  public-only token, token for another channel, administrator's bound token
      403 403 403 403 403 403 403  metrics token
    `,
  },
  /** Of a maintainer, by the API. */
  maintain: {
    kind: "channel",
    text: `
      401 401 401 401 401 401 401  anonymous
      403 403 404 404 404 404 404  strangers
      403 403 403 403 403 404 404  reader, publisher, token without scopes, token to write, token to manage,
        token for another package, administrator's lesser token
      403 403 403 404 404 404 404  narrow member, robot
      + + + + 403 404 404  maintainer, channel owner, owner, team member, clerk, token for all, token to delete
      + + + + + 404 404  administrator
      + 404 404 404 404 404 404  public-only token, administrator's bound token
      403 404 404 404 404 404 404  token for another channel
      403 403 403 403 403 403 403  metrics token
    `,
  },
  manage: {
    kind: "channel",
    text: `
      401 401 401 401 401 401 401  anonymous
      403 403 404 404 404 404 404  strangers
      403 403 403 403 403 404 404  reader, publisher, maintainer, team member, clerk, token without scopes, token to write,
        token to delete, token for another package, administrator's lesser token
      403 403 403 404 404 404 404  narrow member, robot
      + + + + 403 404 404  channel owner, owner, token for all, token to manage
      + + + + + 404 404  administrator
      + 404 404 404 404 404 404  public-only token, administrator's bound token
      403 404 404 404 404 404 404  token for another channel
      403 403 403 403 403 403 403  metrics token
    `,
  },
  create: {
    kind: "channel",
    text: `
      401 401 401 401 401 401 401  anonymous
      403 403 404 404 404 404 404  strangers
      403 403 403 403 403 404 404  reader, publisher, maintainer
      403 403 403 403 403 403 404  team member, clerk, token without scopes, token to write, token to delete,
        token for another package
      403 403 403 404 404 404 404  narrow member
      403 403 403 404 404 403 404  robot
      403 403 403 403 403 403 404  administrator's lesser token
      + + + + 403 404 404  channel owner
      + + + + 403 + 404  owner, token for all, token to manage
      + + + + + + 404  administrator
      + 404 404 404 404 + 404  public-only token
      + 404 404 404 404 404 404  administrator's bound token
      403 404 404 404 404 404 404  token for another channel
      403 403 403 403 403 403 403  metrics token
    `,
  },
  /** The unnamed channel of an owner, of conda and of generic files. */
  "read unnamed": {
    kind: "owner",
    text: `
      + 401 401 401 401 401  anonymous
      + + 403 403 403 403  strangers, grantees, narrow member
      + + + 403 403 403  owner, team member, clerk, token for all, lesser, token for another package
      + + 403 403 403 403  robot
      + + + + + 403  administrator, administrator's lesser token
      + 403 403 403 403 403  public-only token, token for another channel, administrator's bound token
      403 403 403 403 403 403  metrics token
    `,
  },
  "publish unnamed": {
    kind: "owner",
    text: `
      401 401 401 401 401 401  anonymous
      403 403 403 403 403 403  strangers, grantees, narrow member, token without scopes, token to delete, token to manage,
        token for another channel, token for another package, administrator's bound token, administrator's lesser token, metrics token
      + + + 403 403 403  owner, team member, clerk, token for all, token to write
      + 403 403 403 403 403  robot, public-only token
      + + + + + 403  administrator
    `,
  },
  "delete unnamed": {
    kind: "owner",
    text: `
      401 401 401 401 401 401  anonymous
      403 403 403 403 403 403  strangers, grantees, narrow member, robot, token without scopes, token to write,
        token to manage, token for another channel, token for another package, administrator's bound token, administrator's lesser token, metrics token
      + + + 403 403 403  owner, team member, clerk, token for all, token to delete
      + 403 403 403 403 403  public-only token
      + + + + + 403  administrator
    `,
  },
  view: {
    kind: "owner",
    text: `
      + 401 401 401 401 401  anonymous
      + + 404 404 404 404  strangers, grantees, narrow member, robot
      + + + 403 404 404  owner, team member, clerk, token for all, lesser
      + + + + + 404  administrator, administrator's lesser token
      + 404 404 404 404 404  bound, administrator's bound token
      403 403 403 403 403 403  metrics token
    `,
  },
  /** The packages of an owner, for who can read a channel of it, or see it. */
  packages: {
    kind: "owner",
    text: `
      + 401 401 401 401 401  anonymous
      + + 404 404 404 404  strangers, narrow member, robot
      + + + 404 404 404  grantees
      + + + 403 404 404  owner, team member, clerk, token for all, lesser
      + + + + + 404  administrator, administrator's lesser token
      + 404 + 404 404 404  token for another package
      + 404 404 404 404 404  public-only token, token for another channel, administrator's bound token
      403 403 403 403 403 403  metrics token
    `,
  },
  /** The same for generic files: each owner has a channel of these, which only roles on the owner concern. */
  "generic packages": {
    kind: "owner",
    text: `
      + 401 401 401 401 401  anonymous
      + + 404 404 404 404  strangers, grantees, narrow member, robot
      + + + 403 404 404  owner, team member, clerk, token for all, lesser
      + + + + + 404  administrator, administrator's lesser token
      + + + 404 404 404  token for another package
      + 404 404 404 404 404  public-only token, token for another channel, administrator's bound token
      403 403 403 403 403 403  metrics token
    `,
  },
  /** Everything that an owner has; an administrator also asks about an owner that is gone. */
  "manage owner": {
    kind: "owner",
    text: `
      401 401 401 401 401 401  anonymous
      404 404 404 404 404 404  strangers, grantees, bound, administrator's bound token
      403 403 403 403 404 404  team member, clerk, token without scopes, token to write, token to delete
      403 404 404 404 404 404  narrow member, robot
      + + + 403 404 404  owner, token for all, token to manage
      + + + + + +  administrator
      403 403 403 403 403 404  administrator's lesser token
      403 403 403 403 403 403  metrics token
    `,
  },
  /** Teams, members and robots of an organization. */
  belong: {
    kind: "owner",
    text: `
      401 401 401 401 401 401  anonymous
      404 404 404 404 404 404  strangers, grantees, bound, administrator's bound token
      + + + 403 404 404  owner, team member, token for all
      403 403 403 403 404 404  clerk, lesser
      + 404 404 404 404 404  narrow member, robot
      + + + + + 404  administrator
      403 403 403 403 403 404  administrator's lesser token
      403 403 403 403 403 403  metrics token
    `,
  },
  organize: {
    kind: "owner",
    text: `
      401 401 401 401 401 401  anonymous
      404 404 404 404 404 404  strangers, grantees, bound, administrator's bound token
      + + + 403 404 404  owner, token for all
      403 403 403 403 404 404  team member, clerk, lesser
      403 404 404 404 404 404  narrow member, robot
      + + + + + 404  administrator
      403 403 403 403 403 404  administrator's lesser token
      403 403 403 403 403 403  metrics token
    `,
  },
  tokens: {
    kind: "account",
    text: `
      401 401 401 401 401 401 401  anonymous
      + 404 404 404 404 404 404  strangers, grantees, team member, clerk, narrow member
      + 404 + + 404 404 404  owner, token for all
      403 404 404 404 404 404 404  lesser, bound, administrator's lesser token, administrator's bound token, metrics token
      + 404 + 404 404 404 404  robot
      + + + + + 404 404  administrator
    `,
  },
  found: {
    kind: "server",
    text: `
      401  anonymous
      +  strangers, grantees, owner, team member, clerk, narrow member, token for all, administrator
      403  lesser, bound, robot, administrator's bound token, administrator's lesser token, metrics token
    `,
  },
  administer: {
    kind: "server",
    text: `
      401  anonymous
      403  strangers, grantees, owner, team member, clerk, narrow member, token for all, lesser, bound, robot,
        administrator's bound token, administrator's lesser token, metrics token
      +  administrator
    `,
  },
  metrics: {
    kind: "server",
    text: `
      401  anonymous
      403  strangers, grantees, owner, team member, clerk, narrow member, token for all, lesser, bound, robot,
        administrator's lesser token, administrator's bound token
      +  administrator, metrics token
    `,
  },
  "signed in": {
    kind: "server",
    text: `
      401  anonymous
      +  strangers, grantees, owner, team member, clerk, narrow member, token for all, lesser, bound, robot, administrator,
        administrator's lesser token, administrator's bound token
      403  metrics token
    `,
  },
  /** The organizations of the own account. */
  own: {
    kind: "server",
    text: `
      401  anonymous
      +  strangers, grantees, owner, team member, clerk, narrow member, token for all, robot, administrator
      403  lesser, bound, administrator's lesser token, administrator's bound token, metrics token
    `,
  },
  /** The own second factor, which wants the password. */
  "two-factor": {
    kind: "server",
    text: `
      401  anonymous
      +  stranger, removed member, grantees, owner, team member, clerk, narrow member, administrator without two-factor
      403  stranger's token, administrator's token without two-factor, token for all, lesser, bound, robot, administrator,
        administrator's lesser token, administrator's bound token, metrics token
    `,
  },
  /** Lists of what the actor can see. */
  list: {
    kind: "server",
    text: `
      +  anonymous, strangers, grantees, owner, team member, clerk, narrow member, token for all, lesser, bound, robot,
        administrator, administrator's lesser token, administrator's bound token, metrics token
    `,
  },
};

/** What no credential is checked for. */
const OPEN: Readonly<Record<string, Kind>> = {
  open: "server",
  "open channel": "channel",
  "open owner": "owner",
  preflight: "channel",
  "preflight unnamed": "owner",
};

export type Outcome = "+" | number;

const OUTCOMES = new Map(Object.entries(TABLES).map(([action, { text }]) => [action, outcomesOf(text)] as const));

/** The actors of all tables. */
export const ACTORS: readonly string[] = [...new Set([...namesIn("administer"), ...Object.keys(REFUSED)])];

export function kindOf(action: string): Kind {
  const kind = TABLES[action]?.kind ?? OPEN[action];
  if (kind === undefined) throw new Error(`there is no table for ${action}`);
  return kind;
}

export function outcomeOf(action: string, actor: string, place: string): Outcome {
  const places: readonly string[] = PLACES[kindOf(action)];
  if (action in OPEN) return "+";
  const row = OUTCOMES.get(action)?.get(actor);
  const refused = REFUSED[actor];
  if (row === undefined && refused !== undefined) return refused;
  const text = row?.[places.indexOf(place)];
  if (text === undefined) throw new Error(`the table of ${action} has nothing for ${actor} and ${place}`);
  return text === "+" ? "+" : Number(text);
}

/** What is wrong with the tables themselves: rows that are missing, doubled or too short. */
export function problemsOfTables(): string[] {
  return Object.entries(TABLES).flatMap(([action, { kind, text }]) => {
    const rows = rightsTable(text).flatMap(({ name, outcomes }) => (GROUPS[name] ?? [name]).map(() => outcomes));
    const names = namesIn(action);
    const missing = ACTORS.filter((actor) => !(actor in REFUSED) && !names.includes(actor));
    const doubled = names.filter((name, at) => names.indexOf(name) !== at);
    const short = rows.filter(({ length }) => length !== PLACES[kind].length).map((row) => row.join(" "));
    return [...missing, ...doubled, ...short].map((problem) => `${action}: ${problem}`);
  });
}

function namesIn(action: string): string[] {
  return rightsTable(TABLES[action]?.text ?? "").flatMap(({ name }) => GROUPS[name] ?? [name]);
}

function outcomesOf(text: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    rightsTable(text).flatMap(({ name, outcomes }) => (GROUPS[name] ?? [name]).map((one) => [one, outcomes] as const)),
  );
}
