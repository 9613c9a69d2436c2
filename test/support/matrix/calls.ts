// The rows of the access matrix: how each route of the server is called, and what an allowed call gets.

import { documentPaths } from "../documents.ts";
import { buildPackage } from "../package-builder.ts";
import { account, get, inApi, ownerOf, write, type Cell, type RowCall } from "./call.ts";
import { channelCalls, organizationCalls } from "./organization-calls.ts";
import { accountOf, CHANNELS, hasToken, packagesOf } from "./world.ts";

const ZEROS = "0".repeat(64);
const MINE = buildPackage({ name: "mine", version: "1" });
const NO_FILE = "no-such-1-0.conda";

/** The same read four times: how it is asked for must not decide who gets it. */
function reads(call: Pick<RowCall, "action" | "path" | "isCalled">, statuses = [200, 200, 206, 304]): RowCall[] {
  const [whole = 0, head = 0, ranged = 0, conditional = 0] = statuses;
  return [
    { ...call, method: "GET", done: whole },
    { ...call, method: "HEAD", done: head },
    { ...call, method: "GET", headers: { range: "bytes=0-3" }, done: ranged },
    { ...call, method: "GET", headers: { "if-none-match": "*" }, done: conditional },
  ];
}

function open(method: string, path: string, done: number): RowCall {
  return { method, action: "open", path: () => path, done };
}

/** The addresses of a channel in one form. */
function condaCalls(form: (cell: Cell) => string, isCalled?: RowCall["isCalled"]): RowCall[] {
  const under = (rest: (cell: Cell) => string) => (cell: Cell) => `${form(cell)}/${rest(cell)}`;
  const seed = ({ place }: Cell): string => `noarch/${packagesOf(place).seed.fileName}`;
  const held = ({ place }: Cell): string => `noarch/${packagesOf(place).held.fileName}`;
  const shard = ({ place, world }: Cell): string =>
    `noarch/${world.shards.get(place) ?? `shards/${ZEROS}.msgpack.zst`}`;
  const read = { action: "read", ...(isCalled && { isCalled }) };
  const base = isCalled ? { isCalled } : {};
  return [
    ...[...documentPaths("noarch"), "linux-64/repodata.json"].flatMap((path) =>
      reads({ ...read, path: under(() => path) }),
    ),
    ...[seed, shard].flatMap((path) => reads({ ...read, path: under(path) })),
    ...reads({ ...read, path: under(held) }, [403, 403, 403, 403]).map((call) => ({ ...call, says: /quarantined/ })),
    ...["notices.json", `noarch/${NO_FILE}`, "noarch/nonsense"].flatMap((path) =>
      reads({ ...read, path: under(() => path) }, [404, 404, 404, 404]),
    ),
    write(
      "PUT",
      "publish",
      under(() => `noarch/${MINE.fileName}?dry_run=true`),
      { ...base, bytes: MINE.bytes, done: 200 },
    ),
    write(
      "PUT",
      "publish",
      under(() => `noarch/${MINE.fileName}`),
      { ...base, bytes: MINE.bytes, done: 201, isDestructive: true },
    ),
    write(
      "DELETE",
      "delete",
      under(() => `noarch/${NO_FILE}`),
      { ...base, done: 404 },
    ),
    write("DELETE", "delete", under(seed), { ...base, done: 204, isDestructive: true }),
    // A preflight has no credential of its own: one in the path gets none.
    write(
      "OPTIONS",
      "preflight",
      under(() => "noarch/repodata.json"),
      { done: isCalled ? 405 : preflight },
    ),
    ...["POST", "PATCH", "PROPFIND"].map((method) =>
      write(
        method,
        "open channel",
        under(() => "noarch/repodata.json"),
        { done: 405 },
      ),
    ),
  ];
}

const channelOf = ({ place }: Cell): string => (CHANNELS[place] ?? []).join("/");
const heldFile = (cell: Cell): string => `${inApi(cell)}/files/noarch/${packagesOf(cell.place).held.fileName}`;
const seedFile = (cell: Cell): string => `${inApi(cell)}/files/noarch/${packagesOf(cell.place).seed.fileName}`;
const generic = (rest: string) => (cell: Cell) => `/api/packages/${ownerOf(cell)}/generic/${rest}`;
/** Preflights are decided by what anonymous requests can read. */
const preflight = (place: string): number => (place === "public" || place === "open org" ? 204 : 405);

const USERS = ["self", "other user", "no user"];
const ofUser = (_: string, place: string): boolean => USERS.includes(place);
const isUserHere = (actor: string, place: string): boolean =>
  ofUser(actor, place) && !(actor === "robot" && place === "self");
const NOBODY = ["olga", "boss", "stranger", "bare", "acme/robo", "goner"];
/** The tokens of these accounts are the credentials of actors. */
const isSpare = (actor: string, place: string): boolean =>
  isUserHere(actor, place) && !(place === "self" && NOBODY.includes(accountOf(actor)));

/** Tokens of users and robots have the same routes at two addresses. */
function tokenCalls(): Record<string, RowCall[]> {
  const at = (rest: string, other: string) => (cell: Cell) =>
    `/api/v1/users/${account(cell, other, "spare")}/tokens${rest}`;
  const wrong = { name: "x", scopes: ["fly"] };
  return {
    "GET /api/v1/users/:user/tokens": get("tokens", at("", "cny-pia"), { isCalled: isUserHere }),
    "POST /api/v1/users/:user/tokens": [
      write("POST", "tokens", at("", "cny-pia"), { json: wrong, done: 400, isCalled: isUserHere }),
      write("POST", "tokens", at("", "cny-pia"), {
        json: { name: "x" },
        done: 201,
        isDestructive: true,
        isCalled: isUserHere,
      }),
    ],
    "DELETE /api/v1/users/:user/tokens": [
      write("DELETE", "tokens", at("", "quiet"), { done: 204, isCalled: isSpare }),
      write("DELETE", "tokens", at("", "cny-pia"), { done: 204, isDestructive: true, isCalled: isUserHere }),
    ],
    "DELETE /api/v1/users/:user/tokens/:token": [
      // By its id, the token of another user is not found either.
      write("DELETE", "tokens", (cell) => at(`/${cell.world.tokenOfPia}`, "quiet")(cell), {
        done: 404,
        says: /no active token/,
        isCalled: isUserHere,
      }),
      write("DELETE", "tokens", at("/none", "cny-pia"), { done: 404, says: /no active token/, isCalled: isUserHere }),
      write("DELETE", "tokens", at("/cny-token", "cny-pia"), {
        done: 204,
        isDestructive: true,
        isCalled: (actor, place) => isUserHere(actor, place) && place === "other user",
      }),
    ],
  };
}

function userCalls(): Record<string, RowCall[]> {
  const user =
    (rest = "", name = "cny-pia") =>
    () =>
      `/api/v1/admin/users/${name}${rest}`;
  const taken = { username: "t", password: "a long password" };
  return {
    "GET /api/v1/version": get("open", () => "/api/v1/version"),
    "GET /api/v1/user": get("signed in", () => "/api/v1/user"),
    "GET /api/v1/users/:user": get("view", (cell) => `/api/v1/users/${ownerOf(cell)}`),
    "GET /api/v1/admin/users": get("administer", () => "/api/v1/admin/users"),
    "POST /api/v1/admin/users": [write("POST", "administer", () => "/api/v1/admin/users", { json: taken, done: 422 })],
    "PATCH /api/v1/admin/users/:user": [
      write("PATCH", "administer", user(), { json: {}, done: 200 }),
      write("PATCH", "administer", user("", "nobody"), { json: {}, done: 404 }),
      write("PATCH", "administer", user(), { json: { admin: true }, done: 200, isDestructive: true }),
    ],
    "POST /api/v1/admin/users/:user/rename": [
      write("POST", "administer", user("/rename"), { json: { new_username: "acme" }, done: 422 }),
      write("POST", "administer", user("/rename"), { json: { new_username: "pia" }, done: 204, isDestructive: true }),
    ],
    "DELETE /api/v1/admin/users/:user": [
      write("DELETE", "administer", user("", "nobody"), { done: 404 }),
      write("DELETE", "administer", user("?purge=true"), { done: 204, isDestructive: true }),
    ],
    "POST /api/v1/user/two-factor": [write("POST", "two-factor", () => "/api/v1/user/two-factor", { done: 201 })],
    "POST /api/v1/user/two-factor/confirm": [
      write("POST", "two-factor", () => "/api/v1/user/two-factor/confirm", { json: { code: "no code" }, done: 422 }),
    ],
    "DELETE /api/v1/user/two-factor": [
      write("DELETE", "two-factor", () => "/api/v1/user/two-factor", { json: { code: "no code" }, done: 409 }),
    ],
    "GET /api/v1/audit": [
      ...get("administer", () => "/api/v1/audit?limit=5"),
      ...get("manage owner", (cell) => `/api/v1/audit?owner=${ownerOf(cell)}`),
    ],
  };
}

function quarantineCalls(): Record<string, RowCall[]> {
  const admin = () => "/api/v1/admin/quarantine";
  const all = { sha256: ZEROS, reason: "a test" };
  const real = { sha256: packagesOf("private").seed.sha256, reason: "a test" };
  return {
    "POST /api/v1/channels/:owner/:channel/files/:subdir/:file/quarantine": [
      write("POST", "maintain", (cell) => `${heldFile(cell)}/quarantine`, { json: { reason: "x" }, done: 409 }),
      write("POST", "maintain", (cell) => `${seedFile(cell)}/quarantine`, {
        json: { reason: "x" },
        done: 200,
        isDestructive: true,
      }),
    ],
    "POST /api/v1/channels/:owner/:channel/files/:subdir/:file/release": [
      write("POST", "maintain", (cell) => `${seedFile(cell)}/release`, { done: 409 }),
      write("POST", "maintain", (cell) => `${heldFile(cell)}/release`, { done: 200, isDestructive: true }),
    ],
    "GET /api/v1/admin/quarantine": get("administer", admin),
    "POST /api/v1/admin/quarantine": [
      write("POST", "administer", admin, { json: all, done: 200 }),
      write("POST", "administer", admin, { json: real, done: 200, isDestructive: true }),
    ],
    "POST /api/v1/admin/release": [
      write("POST", "administer", () => "/api/v1/admin/release", { json: { sha256: ZEROS }, done: 200 }),
      write("POST", "administer", () => "/api/v1/admin/release", {
        json: { sha256: packagesOf("private").held.sha256 },
        done: 200,
        isDestructive: true,
      }),
    ],
  };
}

/** Uploads in the protocols of others, which the server does not have: the same answer to everyone. */
function refusedProtocols(): Record<string, RowCall[]> {
  const words = ["package", "release", "stage", "commit", "dist"].flatMap((word) =>
    ["POST", "PATCH"].map(
      (method) => [`${method} /${word}/*`, [open(method, `/${word}/cny-closed/main`, 405)]] as const,
    ),
  );
  return {
    "ALL /api/channels/*": ["GET", "POST", "PUT"].map((method) => open(method, "/api/channels/cny-closed/main", 405)),
    "ALL /api/v1/upload/*": ["GET", "POST", "PUT"].map((method) => open(method, "/api/v1/upload/cny-closed/main", 404)),
    "ALL /api/anaconda": [open("HEAD", "/api/anaconda", 200), open("GET", "/api/anaconda", 405)],
    "ALL /api/anaconda/*": ["GET", "POST"].map((method) => open(method, "/api/anaconda/package/cny-closed/main", 405)),
    ...Object.fromEntries(words),
    ...Object.fromEntries(
      ["files", "packages", "repos"].map((word) => [
        `POST /${word}/*`,
        [open("POST", `/${word}/cny-closed/main`, 405)],
      ]),
    ),
    "ALL /api/v1/*": ["GET", "HEAD", "POST", "DELETE"].map((method) => open(method, "/api/v1/cny-closed/main", 404)),
  };
}

const TOKENLESS = "cdr-no-token";
/** With a token in the path instead of a header; the others write what is no token. */
const inPath = ({ actor, world }: Cell): string => `/t/${world.tokens.get(actor) ?? TOKENLESS}`;
const bringsToken = (actor: string): boolean => hasToken(actor) || actor === "unknown token";

/** The calls of each route. A route without any fails the test of the matrix. */
export const ROWS: Readonly<Record<string, readonly RowCall[]>> = {
  "GET /": [open("GET", "/", 200), open("HEAD", "/", 200)],
  "GET /health/live": [open("GET", "/health/live", 200), open("HEAD", "/health/live", 200)],
  "GET /health/ready": [open("GET", "/health/ready", 200), open("HEAD", "/health/ready", 200)],
  "GET /metrics": get("metrics", () => "/metrics"),
  "ALL /api/packages/:owner/conda/*": condaCalls(
    ({ place }) => `/api/packages/${(CHANNELS[place] ?? []).join("/conda/")}`,
  ),
  "ALL /get/*": condaCalls((cell) => `/get/${channelOf(cell)}`),
  "ALL /t/*": condaCalls((cell) => `${inPath(cell)}/${channelOf(cell)}`, bringsToken),
  "ALL /:owner/*": condaCalls((cell) => `/${channelOf(cell)}`),
  "ALL /:owner": [
    ...reads({ action: "read unnamed", path: (cell) => `/${ownerOf(cell)}` }, [404, 404, 404, 404]),
    write("PUT", "open owner", (cell) => `/${ownerOf(cell)}`, { bytes: MINE.bytes, done: 404 }),
  ],
  "ALL /api/packages/:owner/generic/:name/:version/:file": [
    ...reads({ action: "read unnamed", path: generic("seed/1/seed.bin") }),
    ...reads({ action: "read unnamed", path: generic("seed/1/absent.bin") }, [404, 404, 404, 404]),
    write("PUT", "publish unnamed", generic("mine/1/mine.bin?dry_run=true"), { bytes: MINE.bytes, done: 200 }),
    write("PUT", "publish unnamed", generic("mine/1/mine.bin"), { bytes: MINE.bytes, done: 201, isDestructive: true }),
    write("DELETE", "delete unnamed", generic("seed/1/absent.bin"), { done: 404 }),
    write("DELETE", "delete unnamed", generic("seed/1/seed.bin"), { done: 204, isDestructive: true }),
    write("OPTIONS", "preflight unnamed", generic("seed/1/seed.bin"), { done: preflight }),
    write("POST", "open owner", generic("seed/1/seed.bin"), { done: 405 }),
  ],
  "ALL /api/packages/:owner/generic/:name/:version": [
    write("DELETE", "delete unnamed", generic("absent/1"), { done: 404 }),
    write("DELETE", "delete unnamed", generic("seed/1"), { done: 204, isDestructive: true }),
    ...["GET", "HEAD", "PUT", "POST"].map((method) => write(method, "open owner", generic("seed/1"), { done: 405 })),
  ],
  ...refusedProtocols(),
  ...userCalls(),
  ...tokenCalls(),
  ...quarantineCalls(),
  ...channelCalls(),
  ...organizationCalls(),
};
