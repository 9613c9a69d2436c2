// The cells of the access matrix, and how one is called and judged.

import { decompress } from "fzstd";
import { PASSWORD, peerAt } from "../app.ts";
import type { RowCall } from "./call.ts";
import { ROWS } from "./calls.ts";
import { ACTORS, kindOf, outcomeOf, PLACES, type Outcome } from "./rights.ts";
import { leaksIn, type World } from "./world.ts";

export type Cell = {
  readonly call: RowCall;
  readonly actor: string;
  readonly place: string;
  readonly outcome: Outcome;
};

/** The cells of each route. */
export const CELLS: ReadonlyMap<string, readonly Cell[]> = new Map(
  Object.entries(ROWS).map(([route, calls]) => [route, calls.flatMap(cellsOf)]),
);

function cellsOf(call: RowCall): Cell[] {
  const cells = ACTORS.flatMap((actor) =>
    PLACES[kindOf(call.action)].map((place) => ({ call, actor, place, outcome: outcomeOf(call.action, actor, place) })),
  );
  return cells.filter(
    ({ actor, place, outcome }) =>
      (call.isCalled?.(actor, place) ?? true) && !(call.isDestructive === true && outcome === "+"),
  );
}

/** For the name of a test. */
export function countsOf(cells: typeof CELLS): string {
  const all = [...cells.values()].flat();
  return textOf(
    cells.size,
    all.map(({ outcome }) => outcome),
  );
}

function textOf(routes: number, outcomes: readonly Outcome[]): string {
  const counts = new Map<Outcome, number>();
  for (const outcome of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const [allowed, ...refused] = (["+", 401, 403, 404] as const).map((outcome) => counts.get(outcome) ?? 0);
  return `${routes} routes with ${ACTORS.length} actors in ${outcomes.length} cells: ${allowed} allowed, ${refused[0]} times 401, ${refused[1]} times 403, ${refused[2]} times 404`;
}

export type Runner = {
  /** Calls the cells, some at a time, and returns what is wrong. */
  run(cells: readonly Cell[], options: { readonly atOnce: number }): Promise<string[]>;
  /** The counts of the cells that ran. */
  walked(): string;
  /** What the lines of the log about refused requests tell beyond the requests. */
  problemsOfLog(): string[];
};

type Asked = { readonly actor: string; readonly sent: string; readonly title: string };

type Answer = {
  readonly status: number;
  readonly text: string;
  readonly requestId: string;
  /** Without the id of the request. */
  readonly headers: string;
};

export function createRunner(world: World): Runner {
  const outcomes: Outcome[] = [];
  const routes = new Set<RowCall>();
  const refused = new Map<string, Asked>();
  /** By call and actor: the answers of what the actor must not tell apart. */
  const alike = new Map<RowCall, Map<string, string>>();

  async function problemsOf(cell: Cell): Promise<string[]> {
    const { call, actor, place, outcome } = cell;
    const path = call.path({ actor, place, world });
    const answer = await send(world, cell, path);
    outcomes.push(outcome);
    routes.add(call);
    const title = `${call.method} ${path} ${JSON.stringify(call.headers ?? {})} by ${actor} on ${place}`;
    const sent = path + (jsonOf(cell, world) ?? "") + actor;
    const asked = { actor, sent, title };
    if (outcome !== "+") refused.set(answer.requestId, asked);
    return [...wrongIn(cell, answer), ...toldBy(cell, answer, asked), ...differences(cell, answer)].map(
      (problem) => `${title}: ${problem}`,
    );
  }

  /** Whoever cannot read a place gets the answer of one that does not exist. */
  function differences({ call, actor, place, outcome }: Cell, { text, headers, status }: Answer): string[] {
    if (outcome === "+" || !KNOWS_NOTHING.has(actor) || (actor !== "anonymous" && SEEN_BY_ALL.has(place))) return [];
    const known = alike.get(call) ?? new Map<string, string>();
    alike.set(call, known);
    const key = `${actor} ${status}`;
    const answer = `${headers}\n\n${text}`;
    const first = known.get(key) ?? answer;
    known.set(key, first);
    return first === answer ? [] : [`differs from another refusal:\n${first}\n${answer}`];
  }

  return {
    run: async (cells, { atOnce }) => {
      const problems: string[] = [];
      for (let at = 0; at < cells.length; at += atOnce)
        problems.push(...(await Promise.all(cells.slice(at, at + atOnce).map(problemsOf))).flat());
      return problems.slice(0, MOST_TOLD);
    },
    walked: () =>
      textOf(Object.values(ROWS).filter((calls) => calls.some((call) => routes.has(call))).length, outcomes),
    problemsOfLog: () =>
      world.server
        .log()
        .split("\n")
        .flatMap((line) => {
          const asked = refused.get(/"requestId":"([^"]+)"/.exec(line)?.[1] ?? "");
          if (!asked) return [];
          const leaks = leaksIn(line, asked.actor, asked.sent);
          return leaks.length === 0 ? [] : [`${asked.title}: logs ${leaks.join(", ")} in ${line}`];
        }),
  };
}

/** One mistake can be in thousands of cells. */
const MOST_TOLD = 20;

/** Has no right to anything that is not public or internal. */
const KNOWS_NOTHING = new Set(["anonymous", "stranger", "removed member", "stranger's token", "unknown token"]);

/** What everyone can read who is signed in. */
const SEEN_BY_ALL = new Set(["public", "internal", "open org", "internal org", "self"]);

function jsonOf({ call, actor, place }: Cell, world: World): string | undefined {
  const json = typeof call.json === "function" ? call.json({ actor, place, world }) : call.json;
  return json && JSON.stringify(json);
}

async function send(world: World, cell: Cell, path: string): Promise<Answer> {
  const { call, actor } = cell;
  const type = call.json ? { "content-type": "application/json" } : {};
  const credential = path.startsWith("/t/") ? {} : world.headers.get(actor);
  const request = new Request(`http://localhost${path}`, {
    method: call.method,
    headers: { ...credential, ...type, ...call.headers },
    body: jsonOf(cell, world) ?? call.bytes?.slice() ?? null,
  });
  const response = await world.server.app.handle(request, peerAt("192.0.2.1"));
  const bytes = new Uint8Array(await response.arrayBuffer());
  const headers = new Headers(response.headers);
  const isPacked = response.status === 200 && headers.get("content-type") === "application/zstd" && bytes.length > 0;
  const requestId = headers.get("x-request-id") ?? "";
  headers.delete("x-request-id");
  return {
    status: response.status,
    text: new TextDecoder().decode(isPacked ? decompress(bytes) : bytes),
    requestId,
    headers: [...headers].map((pair) => pair.join(": ")).join("\n"),
  };
}

function wrongIn({ call, place, outcome }: Cell, { status, text, headers }: Answer): string[] {
  const done = typeof call.done === "number" ? call.done : call.done(place);
  const wanted = outcome === "+" ? done : outcome;
  const problems: string[] = [];
  if (status !== wanted) problems.push(`${status} instead of ${wanted} ${text.slice(0, 200)}`);
  const isTold = call.says?.test(text) === true;
  if (call.says && call.method !== "HEAD" && isTold !== (outcome === "+"))
    problems.push(`is ${isTold ? "" : "not "}told ${call.says.source}`);
  // Bun drops the body of the other ones.
  if (call.method === "HEAD" && text !== "" && !/^(open|metrics)/.test(call.action)) problems.push("has a body");
  if (status >= 400 && !headers.includes("cache-control: no-store")) problems.push("can be stored");
  if (status === 401 && !/www-authenticate: .*Basic.*Bearer/.test(headers))
    problems.push("does not say how to sign in");
  const total = /^x-total-count: (\d+)$/m.exec(headers)?.[1];
  if (total !== undefined && call.method === "GET" && Number(total) !== (JSON.parse(text) as unknown[]).length)
    problems.push(`counts ${total} items, and lists others`);
  return problems;
}

function toldBy(_: Cell, { text, headers }: Answer, { actor, sent }: Asked): string[] {
  const leaks = leaksIn(`${headers}\n${text}`, actor, sent).map((leak) => `learns ${leak}`);
  return text.includes(PASSWORD) ? [...leaks, "learns a password"] : leaks;
}
