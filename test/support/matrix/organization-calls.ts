// The rows of the access matrix for channels, organizations, teams, robots and packages of the API.

import { account, get, inApi, ownerOf, write, type Cell, type RowCall } from "./call.ts";
import { CHANNELS, organizationOf, packagesOf } from "./world.ts";

const NO_TEAM = 999_999_999;

/** What is about an organization answers of a user, to who can see it, that there is no organization of this name. */
const orAbsent = (status: number) => (place: string) => (place === "private user" || place === "nobody" ? 404 : status);
const org = (rest: string) => (cell: Cell) => `/api/v1/orgs/${ownerOf(cell)}${rest}`;
const team = (rest: string) => (cell: Cell) =>
  `/api/v1/teams/${cell.world.teams.get(cell.place)?.all ?? NO_TEAM}${rest}`;
const channel = (rest: string) => (cell: Cell) => inApi(cell) + rest;
const ofTeam = (cell: Cell): string =>
  `${inApi(cell)}/teams/${cell.world.teams.get(organizationOf(cell.place))?.all ?? NO_TEAM}`;
const confirmed = (cell: Cell): string => `${inApi(cell)}?confirm=${(CHANNELS[cell.place] ?? []).join("/")}`;
const version = (rest: string, name?: string) => (cell: Cell) => {
  const [owner = "", of = ""] = CHANNELS[cell.place] ?? [];
  const wanted = name ?? packagesOf(cell.place).seed.fileName.replace(/-1-0\.conda$/, "");
  return `/api/v1/packages/${owner}/conda/${encodeURIComponent(`${of}/${wanted}`)}/1${rest}`;
};
/** A member ends the own place with another right. */
const isNotTessa = (actor: string): boolean => actor !== "team member";

export function channelCalls(): Record<string, RowCall[]> {
  const created = ({ place }: Cell): object => {
    const [owner, name] = CHANNELS[place] ?? [];
    return { owner, name };
  };
  const members = "/api/v1/channels/:owner/:channel/members";
  const teams = "/api/v1/channels/:owner/:channel/teams";
  return {
    "GET /api/v1/channels": ["", "?owner=cny-closed", "?owner=acme", "?q=cny", "?limit=50"].flatMap((query) =>
      get("list", () => `/api/v1/channels${query}`),
    ),
    "POST /api/v1/channels": [
      write("POST", "create", () => "/api/v1/channels", {
        // An invalid policy: nothing is created.
        json: (cell) => ({ ...created(cell), policy: { nonsense: 1 } }),
        done: (place) => (place === "absent" ? 422 : 409),
      }),
      write("POST", "create", () => "/api/v1/channels", { json: created, done: 201, isDestructive: true }),
    ],
    "GET /api/v1/channels/:owner/:channel": get("show", channel("")),
    "PATCH /api/v1/channels/:owner/:channel": [
      write("PATCH", "manage", channel(""), { json: {}, done: 200 }),
      write("PATCH", "manage", channel(""), { json: { visibility: "public" }, done: 200, isDestructive: true }),
    ],
    "DELETE /api/v1/channels/:owner/:channel": [
      // A channel with a file in quarantine stays.
      write("DELETE", "manage", confirmed, { done: 409 }),
    ],
    [`GET ${members}`]: get("manage", channel("/members")),
    [`GET ${members}/:member`]: get("manage", channel("/members/reader")),
    [`PUT ${members}/:member`]: [
      write("PUT", "manage", channel("/members/reader"), { json: { role: "reader" }, done: 204 }),
      write("PUT", "manage", channel("/members/stranger"), { json: { role: "owner" }, done: 204, isDestructive: true }),
    ],
    [`DELETE ${members}/:member`]: [
      write("DELETE", "manage", channel("/members/quiet"), { done: 404, says: /has no role/ }),
      write("DELETE", "manage", channel("/members/reader"), { done: 204, isDestructive: true }),
    ],
    [`GET ${teams}`]: get("manage", channel("/teams")),
    [`GET ${teams}/:member`]: get("manage", ofTeam),
    [`PUT ${teams}/:member`]: [
      write("PUT", "manage", ofTeam, { json: { role: "reader" }, done: 204 }),
      write("PUT", "manage", ofTeam, { json: { role: "owner" }, done: 204, isDestructive: true }),
    ],
    [`DELETE ${teams}/:member`]: [
      write("DELETE", "manage", channel(`/teams/${NO_TEAM}`), { done: 404, says: /There is no team/ }),
      write("DELETE", "manage", ofTeam, { done: 204, isDestructive: true }),
    ],
    ...transferCalls(),
    "GET /api/v1/packages/:owner": ["", "?q=cny", "?type=generic"].flatMap((query) =>
      get(
        query === "?type=generic" ? "generic packages" : "packages",
        (cell) => `/api/v1/packages/${ownerOf(cell)}${query}`,
      ),
    ),
    "GET /api/v1/packages/:owner/:type/:name/:version": get("show", version("")),
    "GET /api/v1/packages/:owner/:type/:name/:version/files": get("show", version("/files")),
    "DELETE /api/v1/packages/:owner/:type/:name/:version": [
      write("DELETE", "maintain", version("", "none"), { done: 404, says: /no such package or version/ }),
      write("DELETE", "maintain", version(""), { done: 204, isDestructive: true }),
    ],
  };
}

/** Nothing is offered: what there is to say about an offer is the same for every channel. */
function transferCalls(): Record<string, RowCall[]> {
  const transfer = "/api/v1/channels/:owner/:channel/transfer";
  const none = { done: 404, says: /is offered to nobody/ } as const;
  return {
    "GET /api/v1/transfers": get("manage owner", (cell) => `/api/v1/transfers?owner=${ownerOf(cell)}`, {
      done: (place) => (place === "nobody" ? 404 : 200),
    }),
    [`GET ${transfer}`]: get("manage", channel("/transfer"), none),
    [`POST ${transfer}`]: [
      write("POST", "manage", channel("/transfer"), {
        json: { new_owner: "no-one" },
        done: 404,
        says: /There is no owner no-one/,
      }),
      write("POST", "manage", channel("/transfer"), {
        json: { new_owner: "stranger" },
        done: 202,
        isDestructive: true,
      }),
    ],
    [`DELETE ${transfer}`]: [write("DELETE", "manage", channel("/transfer"), none)],
    [`POST ${transfer}/accept`]: [write("POST", "create", channel("/transfer/accept"), none)],
  };
}

export function organizationCalls(): Record<string, RowCall[]> {
  return {
    "GET /api/v1/orgs": get("list", () => "/api/v1/orgs"),
    "POST /api/v1/orgs": [
      write("POST", "found", () => "/api/v1/orgs", { json: { username: "acme" }, done: 422 }),
      write("POST", "found", () => "/api/v1/orgs", { json: { username: "new" }, done: 201, isDestructive: true }),
    ],
    "GET /api/v1/user/orgs": get("own", () => "/api/v1/user/orgs"),
    "GET /api/v1/orgs/:org": get("view", org(""), { done: orAbsent(200) }),
    "PATCH /api/v1/orgs/:org": [
      write("PATCH", "organize", org(""), { json: {}, done: orAbsent(200) }),
      write("PATCH", "organize", org(""), { json: { visibility: "public" }, done: 200, isDestructive: true }),
    ],
    "POST /api/v1/orgs/:org/rename": [
      write("POST", "organize", org("/rename"), { json: { new_name: "t" }, done: orAbsent(422) }),
      write("POST", "organize", org("/rename"), { json: { new_name: "new" }, done: 204, isDestructive: true }),
    ],
    // One with channels stays.
    "DELETE /api/v1/orgs/:org": [write("DELETE", "organize", org(""), { done: orAbsent(422) })],
    "GET /api/v1/orgs/:org/members": get("belong", org("/members"), { done: orAbsent(200) }),
    "GET /api/v1/orgs/:org/members/:user": get("belong", org("/members/olga"), { done: orAbsent(204) }),
    "DELETE /api/v1/orgs/:org/members/:user": [
      write("DELETE", "organize", org("/members/quiet"), { done: 404, says: /has no place|There is no organization/ }),
      write("DELETE", "organize", org("/members/tessa"), { done: 204, isDestructive: true, isCalled: isNotTessa }),
    ],
    ...robotCalls(),
    // A user has no teams, and so no id for one.
    ...Object.fromEntries(
      Object.entries(teamCalls()).map(([route, calls]) => [
        route,
        calls.map((call) => ({ ...call, isCalled: exceptOfUsers(call) })),
      ]),
    ),
  };
}

function robotCalls(): Record<string, RowCall[]> {
  const robots = "/api/v1/orgs/:org/robots";
  const robot = (cell: Cell): string => `${org("/robots")(cell)}/cny-robot-${ownerOf(cell)}`;
  return {
    [`GET ${robots}`]: get("belong", org("/robots"), { done: orAbsent(200) }),
    [`POST ${robots}`]: [
      write("POST", "organize", org("/robots"), { json: { name: "No Name" }, done: orAbsent(422) }),
      write("POST", "organize", org("/robots"), { json: { name: "new" }, done: 201, isDestructive: true }),
    ],
    [`DELETE ${robots}/:robot`]: [
      write("DELETE", "organize", org("/robots/none"), { done: 404, says: /There is no (robot|organization)/ }),
      write("DELETE", "organize", robot, { done: 204, isDestructive: true }),
    ],
    ...robotTokenCalls(`${robots}/:robot/tokens`),
  };
}

function robotTokenCalls(route: string): Record<string, RowCall[]> {
  const at = (rest: string) => (cell: Cell) =>
    `/api/v1/orgs/${account(cell, "", cell.actor === "robot" ? "robo" : "spare")}/tokens${rest}`;
  const isCalled = (_: string, place: string): boolean => place.endsWith("robot");
  // The token of the robot is the credential of an actor.
  const isSpare = (actor: string, place: string): boolean =>
    isCalled(actor, place) && !(actor === "robot" && place === "robot");
  return {
    [`GET ${route}`]: get("tokens", at(""), { isCalled }),
    [`POST ${route}`]: [
      write("POST", "tokens", at(""), { json: { name: "x", scopes: ["fly"] }, done: 400, isCalled }),
      write("POST", "tokens", at(""), { json: { name: "x" }, done: 201, isDestructive: true, isCalled }),
    ],
    [`DELETE ${route}`]: [write("DELETE", "tokens", at(""), { done: 204, isCalled: isSpare })],
    [`DELETE ${route}/:token`]: [
      write("DELETE", "tokens", at("/none"), { done: 404, says: /no active token/, isCalled }),
    ],
  };
}

function exceptOfUsers({ isCalled }: RowCall): NonNullable<RowCall["isCalled"]> {
  return (actor, place) => place !== "private user" && (isCalled?.(actor, place) ?? true);
}

function teamCalls(): Record<string, RowCall[]> {
  const owners = (cell: Cell): string => `/api/v1/teams/${cell.world.teams.get(cell.place)?.owners ?? NO_TEAM}`;
  return {
    "GET /api/v1/orgs/:org/teams": get("belong", org("/teams"), { done: orAbsent(200) }),
    "POST /api/v1/orgs/:org/teams": [
      write("POST", "organize", org("/teams"), { json: { name: "no name", role: "reader" }, done: orAbsent(422) }),
      write("POST", "organize", org("/teams"), {
        json: { name: "new", role: "owner" },
        done: 201,
        isDestructive: true,
      }),
    ],
    "GET /api/v1/teams/:team": get("belong", team(""), { done: orAbsent(200) }),
    "PATCH /api/v1/teams/:team": [
      write("PATCH", "organize", team(""), { json: {}, done: orAbsent(200) }),
      write("PATCH", "organize", team(""), { json: { role: "owner" }, done: 200, isDestructive: true }),
    ],
    "DELETE /api/v1/teams/:team": [
      write("DELETE", "organize", owners, { done: orAbsent(409) }),
      write("DELETE", "organize", team(""), { done: 204, isDestructive: true }),
    ],
    "GET /api/v1/teams/:team/members": get("belong", team("/members"), { done: orAbsent(200) }),
    "GET /api/v1/teams/:team/members/:member": get("belong", team("/members/tessa"), { done: orAbsent(200) }),
    "PUT /api/v1/teams/:team/members/:member": [
      write("PUT", "organize", team("/members/tessa"), { done: orAbsent(204) }),
      write("PUT", "organize", team("/members/stranger"), { done: 204, isDestructive: true }),
    ],
    "DELETE /api/v1/teams/:team/members/:member": [
      write("DELETE", "organize", team("/members/quiet"), {
        done: 404,
        says: /is not in the team/,
        isCalled: (_, place) => place.endsWith("org"),
      }),
      write("DELETE", "organize", team("/members/tessa"), { done: 204, isDestructive: true, isCalled: isNotTessa }),
    ],
  };
}
