// The access matrix: every route of the server, called by every actor on every kind of target, in every way to ask.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { basic, PASSWORD, peerAt } from "../support/app.ts";
import { ROWS } from "../support/matrix/calls.ts";
import { CELLS, countsOf, createRunner, type Runner } from "../support/matrix/cells.ts";
import { ACTORS, outcomeOf, problemsOfTables } from "../support/matrix/rights.ts";
import { CHANNELS, createWorld, type World } from "../support/matrix/world.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(300_000);

const WHAT_IT_IS = /^404 .*This is the address of the channel acme\//;

let world: World;
let runner: Runner;
let statements: Statements;

beforeAll(async () => {
  world = await createWorld();
  runner = createRunner(world);
  statements = await statementsOf(world.server);
});
afterAll(() => world.server.close());

test("the tables have a row for every actor and a column for every kind of target", () => {
  expect(problemsOfTables()).toEqual([]);
});

test("the matrix has a row for every route of the server, and no row without one", () => {
  const { routes, apiRoutes } = world.server.app;
  const inTable = apiRoutes.map(({ method, path }) => `${method} ${path}`);
  const paths = new Set(apiRoutes.map(({ path }) => path));
  // HEAD is a way to ask for what GET gets.
  const others = routes.filter(({ method, path }) => method !== "HEAD" && !paths.has(path));
  const all = [...inTable, ...others.map(({ method, path }) => `${method} ${path}`)];
  expect(Object.keys(ROWS).sort()).toEqual(all.sort());
});

test("a route of the API refuses every other method, whoever asks", async () => {
  const paths = Map.groupBy(world.server.app.apiRoutes, ({ path }) => path);
  for (const [path, rows] of paths) {
    const methods = rows.map(({ method }) => method as string);
    for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]) {
      if (methods.includes(method === "HEAD" ? "GET" : method)) continue;
      const { status, headers } = await world.server.anonymous.send(method, path.replaceAll(/:\w+/g, "x"));
      const allowed = methods.flatMap((one) => (one === "GET" ? ["GET", "HEAD"] : [one]));
      expect([path, method, status, headers.get("allow")]).toEqual([path, method, 405, allowed.join(", ")]);
    }
  }
});

describe("everyone gets what the tables say, and whoever is refused learns and changes nothing, from", () => {
  for (const [route, cells] of CELLS) {
    test(`${route} in ${cells.length} cells`, async () => {
      const before = await statements.dump();
      expect(
        await runner.run(
          cells.filter(({ outcome }) => outcome !== "+"),
          { atOnce: 32 },
        ),
      ).toEqual([]);
      expect(await statements.dump()).toBe(before);
      expect(
        await runner.run(
          cells.filter(({ outcome }) => outcome === "+"),
          { atOnce: 8 },
        ),
      ).toEqual([]);
    });
  }
});

test("the address of a channel alone says what it is to those who can read it, and to others what a missing one says", async () => {
  const told = async (actor: string, place: string): Promise<string> => {
    const path = `/${(CHANNELS[place] ?? []).join("/")}`;
    const response = await world.server.anonymous.get(path, world.headers.get(actor));
    return `${response.status} ${await response.text()}`;
  };
  for (const actor of ACTORS) {
    const missing = await told(actor, "absent");
    for (const place of ["public", "internal", "private"]) {
      const text = await told(actor, place);
      if (outcomeOf("read", actor, place) === "+") expect(text).toMatch(WHAT_IT_IS);
      else expect([actor, place, text]).toEqual([actor, place, missing]);
    }
  }
});

test("a wrong password gets the same answer, after as long, for every name with an account and without one", async () => {
  const names = ["stranger", "goner", "boss", "bare", "acme", "acme/robo", "nobody"];
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  const answers = new Set<string>();
  for (let round = 0; round < 4; round++) {
    for (const name of names) {
      const request = new Request("http://localhost/api/v1/user", { headers: basic(name, `wrong password ${round}`) });
      const start = performance.now();
      const response = await world.server.app.handle(request, peerAt("192.0.2.99"));
      times.get(name)?.push(performance.now() - start);
      const headers = [...response.headers].filter(([header]) => header !== "x-request-id").join("\n");
      answers.add(`${response.status}\n${headers}\n${await response.text()}`);
    }
  }
  expect([...answers]).toEqual([expect.stringMatching(/^401\n/)]);
  // Other work on the machine delays single answers, but an answer without a hash would be the fastest of every round.
  const ratios = [0, 1, 2, 3].map((round) => {
    const all = [...times.values()].map((of) => of[round] ?? 0);
    return Math.max(...all) / Math.min(...all);
  });
  expect(Math.min(...ratios)).toBeLessThan(2.5);
});

test("nobody has ended the token of another user", async () => {
  const tokens = await world.server.manage.tokens.list("cny-pia");
  expect(tokens.map(({ name, isEnded }) => [name, isEnded])).toEqual([["cny-token", false]]);
});

test(`the matrix walked ${countsOf(CELLS)}`, () => {
  expect(runner.walked()).toBe(countsOf(CELLS));
});

test("no line of the log tells more than the request, and no line has a secret", () => {
  expect(runner.problemsOfLog()).toEqual([]);
  const log = world.server.log();
  expect(world.secrets.filter((secret) => log.includes(secret))).toEqual([]);
  expect(log).not.toContain(PASSWORD);
});
