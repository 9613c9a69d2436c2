// The access matrix: every route of the server, called by every actor on every kind of target, in every way to ask.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { PASSWORD } from "../support/app.ts";
import { ROWS } from "../support/matrix/calls.ts";
import { CELLS, countsOf, createRunner, type Runner } from "../support/matrix/cells.ts";
import { problemsOfTables } from "../support/matrix/rights.ts";
import { createWorld, type World } from "../support/matrix/world.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(300_000);

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

test(`the matrix walked ${countsOf(CELLS)}`, () => {
  expect(runner.walked()).toBe(countsOf(CELLS));
});

test("no line of the log tells more than the request, and no line has a secret", () => {
  expect(runner.problemsOfLog()).toEqual([]);
  const log = world.server.log();
  expect(world.secrets.filter((secret) => log.includes(secret))).toEqual([]);
  expect(log).not.toContain(PASSWORD);
});
