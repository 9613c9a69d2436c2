// Every route of the API, called by everyone who has no right to it: what they learn, and that they change nothing.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiAnswer, type ApiClient } from "../../support/api.ts";
import { PASSWORD, startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { peopleOf, type People } from "../../support/people.ts";

let server: TestApp;
let people: People;
let team = 0;
const clients = new Map<string, ApiClient>();

/**
 * `reader` has this role on the channel and in the organization; the next four are tokens: of the owner of everything, and
 * of an administrator. All that the routes name is private.
 */
const ACTORS = [
  "anonymous",
  "disabled",
  "expired",
  "stranger",
  "reader",
  "reading",
  "public",
  "bound",
  "metrics",
] as const;

const BODIES: Readonly<Record<string, object>> = {
  "POST /users/:user/tokens": { name: "canary" },
  "POST /admin/users": { username: "canary-new", password: PASSWORD },
  "PATCH /admin/users/:user": { admin: true },
  "POST /admin/users/:user/rename": { new_username: "canary-renamed" },
  "POST /channels": { owner: "canary-alice", name: "canary-new" },
  "PATCH /channels/:owner/:channel": { visibility: "public" },
  "PUT /channels/:owner/:channel/members/:member": { role: "owner" },
  "PUT /channels/:owner/:channel/teams/:member": { role: "owner" },
  "POST /channels/:owner/:channel/transfer": { new_owner: "stranger" },
  "POST /orgs": { username: "canary-org" },
  "PATCH /orgs/:org": { visibility: "public" },
  "POST /orgs/:org/rename": { new_name: "canary-renamed" },
  "POST /orgs/:org/teams": { name: "canary", role: "owner" },
  "PATCH /teams/:team": { role: "owner" },
  "POST /orgs/:org/robots": { name: "canary" },
  "POST /orgs/:org/robots/:robot/tokens": { name: "canary" },
};

const QUERIES: Readonly<Record<string, string>> = {
  "DELETE /channels/:owner/:channel": "?confirm=canary-alice/main",
  "GET /transfers": "?owner=canary-alice",
  "HEAD /transfers": "?owner=canary-alice",
};

/** A row per route, with a status per actor; - is an actor who is allowed this. */
const TABLE = `
-   -   -   -   -   -   -   -   -    GET /version
401 401 401 -   -   -   -   -   403  GET /user
401 401 401 404 404 -   404 404 403  GET /users/:user
401 401 401 403 403 403 403 403 403  GET /admin/users
401 401 401 403 403 403 403 403 403  POST /admin/users
401 401 401 403 403 403 403 403 403  PATCH /admin/users/:user
401 401 401 403 403 403 403 403 403  POST /admin/users/:user/rename
401 401 401 403 403 403 403 403 403  DELETE /admin/users/:user
401 401 401 404 404 403 403 403 404  GET /users/:user/tokens
401 401 401 404 404 403 403 403 404  POST /users/:user/tokens
401 401 401 404 404 403 403 403 404  DELETE /users/:user/tokens
401 401 401 404 404 403 403 403 404  DELETE /users/:user/tokens/:token
401 401 401 404 404 404 404 404 404  GET /orgs/:org/robots/:robot/tokens
401 401 401 404 404 404 404 404 404  POST /orgs/:org/robots/:robot/tokens
401 401 401 404 404 404 404 404 404  DELETE /orgs/:org/robots/:robot/tokens
401 401 401 404 404 404 404 404 404  DELETE /orgs/:org/robots/:robot/tokens/:token
-   401 401 -   -   -   -   -   -    GET /channels
401 401 401 404 404 403 404 404 403  POST /channels
401 401 401 404 -   -   404 404 403  GET /channels/:owner/:channel
401 401 401 404 403 403 404 404 403  PATCH /channels/:owner/:channel
401 401 401 404 403 403 404 404 403  DELETE /channels/:owner/:channel
401 401 401 404 403 403 404 404 403  GET /channels/:owner/:channel/members
401 401 401 404 403 403 404 404 403  GET /channels/:owner/:channel/members/:member
401 401 401 404 403 403 404 404 403  PUT /channels/:owner/:channel/members/:member
401 401 401 404 403 403 404 404 403  DELETE /channels/:owner/:channel/members/:member
401 401 401 404 403 403 404 404 403  GET /channels/:owner/:channel/teams
401 401 401 404 403 403 404 404 403  GET /channels/:owner/:channel/teams/:member
401 401 401 404 403 403 404 404 403  PUT /channels/:owner/:channel/teams/:member
401 401 401 404 403 403 404 404 403  DELETE /channels/:owner/:channel/teams/:member
-   401 401 -   -   -   -   -   -    GET /orgs
401 401 401 -   -   403 403 403 403  POST /orgs
401 401 401 -   -   403 403 403 403  GET /user/orgs
401 401 401 404 -   -   404 404 403  GET /orgs/:org
401 401 401 404 403 403 404 404 403  PATCH /orgs/:org
401 401 401 404 403 403 404 404 403  POST /orgs/:org/rename
401 401 401 404 403 403 404 404 403  DELETE /orgs/:org
401 401 401 404 -   403 404 404 403  GET /orgs/:org/members
401 401 401 404 -   403 404 404 403  GET /orgs/:org/members/:user
401 401 401 404 403 403 404 404 403  DELETE /orgs/:org/members/:user
401 401 401 404 -   403 404 404 403  GET /orgs/:org/teams
401 401 401 404 403 403 404 404 403  POST /orgs/:org/teams
401 401 401 404 -   403 404 404 403  GET /teams/:team
401 401 401 404 403 403 404 404 403  PATCH /teams/:team
401 401 401 404 403 403 404 404 403  DELETE /teams/:team
401 401 401 404 -   403 404 404 403  GET /teams/:team/members
401 401 401 404 -   403 404 404 403  GET /teams/:team/members/:member
401 401 401 404 403 403 404 404 403  PUT /teams/:team/members/:member
401 401 401 404 -   403 404 404 403  DELETE /teams/:team/members/:member
401 401 401 404 -   403 404 404 403  GET /orgs/:org/robots
401 401 401 404 403 403 404 404 403  POST /orgs/:org/robots
401 401 401 404 403 403 404 404 403  DELETE /orgs/:org/robots/:robot
401 401 401 404 403 403 404 404 403  GET /channels/:owner/:channel/transfer
401 401 401 404 403 403 404 404 403  POST /channels/:owner/:channel/transfer
401 401 401 404 403 403 404 404 403  DELETE /channels/:owner/:channel/transfer
401 401 401 404 403 403 404 404 403  POST /channels/:owner/:channel/transfer/accept
401 401 401 404 404 403 404 404 403  GET /transfers
401 401 401 404 -   -   404 404 403  GET /packages/:owner
401 401 401 404 -   -   404 404 403  GET /packages/:owner/:type/:name/:version
401 401 401 404 -   -   404 404 403  GET /packages/:owner/:type/:name/:version/files
401 401 401 404 403 403 404 404 403  DELETE /packages/:owner/:type/:name/:version
`;

beforeAll(async () => {
  server = await startTestApp();
  const { manage } = server;
  for (const name of ["canary-alice", "stranger", "reader", "disabled"]) await server.addUser(name);
  await server.addUser("boss", { admin: true });
  people = await peopleOf(server);
  const alice = apiOf(server, "canary-alice");
  await alice("POST", "/orgs", { username: "canary-acme", visibility: "private" });
  await alice("POST", "/orgs/canary-acme/robots", { name: "ci" });
  const made = await alice("POST", "/orgs/canary-acme/teams", { name: "canary-team", role: "reader" });
  team = (made.json as { id: number }).id;
  await alice("PUT", `/teams/${team}/members/reader`);
  await manage.channels.create({ owner: "canary-alice", channel: "main" }, { visibility: "private" });
  await manage.grants.set({ owner: "canary-alice", channel: "main" }, "reader", "reader");
  await manage.channels.change({ owner: "canary-alice", channel: undefined }, { visibility: "private" });
  const built = buildPackage({ name: "canary-package", version: "1" });
  const published = await server.as("canary-alice").put(`/canary-alice/main/noarch/${built.fileName}`, built.bytes);
  expect(published.status).toBe(201);
  const user = "canary-alice";
  const limits: Record<string, object> = {
    expired: { user, scopes: ["all"], lifetime: 1 },
    reading: { user, scopes: ["read:package"] },
    public: { user, scopes: ["all", "public-only"] },
    bound: { user, scopes: ["all"], channels: ["canary-alice/other"] },
    metrics: { user: "boss", scopes: ["read:metrics"] },
  };
  for (const name of ACTORS) {
    const token = name in limits ? await newToken(manage, { user, name, ...limits[name] }) : undefined;
    clients.set(
      name,
      token === undefined
        ? apiOf(server, name === "anonymous" ? undefined : name)
        : apiOf(server, undefined, bearer(token)),
    );
  }
  await manage.users.setDisabled("disabled", true);
});
afterAll(async () => {
  await people.close();
  await server.close();
});

/** The address of a route, for something that exists. */
function addressOf(path: string): string {
  const values: Record<string, string> = {
    user: "canary-alice",
    token: "reading",
    owner: "canary-alice",
    channel: "main",
    org: "canary-acme",
    team: String(team),
    robot: "ci",
    type: "conda",
    name: "main%2Fcanary-package",
    version: "1",
    member: path.startsWith("/channels/:owner/:channel/teams") ? String(team) : "reader",
  };
  return path.replaceAll(/:(\w+)/g, (_, name: string) => values[name] ?? "x");
}

async function callAs(name: string, route: string): Promise<ApiAnswer> {
  const [method = "", path = ""] = route.split(" ");
  return await (clients.get(name) ?? apiOf(server))(method, addressOf(path) + (QUERIES[route] ?? ""), BODIES[route]);
}

const ROWS = TABLE.trim()
  .split("\n")
  .map((line) => line.trim().split(/\s+/))
  .map((words) => ({ route: words.slice(-2).join(" "), statuses: words.slice(0, -2) }));

test("the matrix has a row for every route", () => {
  const routes = server.app.apiRoutes.map(({ method, path }) => `${method} ${path.replace("/api/v1", "")}`);
  expect(ROWS.map(({ route }) => route).sort()).toEqual(routes.sort());
});

describe("a caller without the right", () => {
  for (const { route, statuses } of ROWS) {
    test(`is refused by ${route}, and changes nothing`, async () => {
      for (const [at, name] of ACTORS.entries()) {
        const wanted = statuses[at] ?? "";
        if (wanted === "-") continue;
        const before = await people.auditCount();
        const { status, text, headers } = await callAs(name, route);
        expect([name, status]).toEqual([name, Number(wanted)]);
        if (route.startsWith("GET ")) {
          const head = await callAs(name, route.replace("GET", "HEAD"));
          expect([name, head.status, head.text]).toEqual([name, status, ""]);
        }
        expect([name, await people.auditCount()]).toEqual([name, before]);
        expect([name, headers.get("cache-control")]).toEqual([name, "no-store"]);
        // Who is refused learns no name but those of the address.
        if (!["reader", "reading", "public", "bound"].includes(name))
          expect(text.replaceAll(/canary-(alice|acme)/g, "")).not.toContain("canary");
      }
    });
  }
});
