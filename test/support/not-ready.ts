// What `/health/ready` says is wrong.

import { expect } from "bun:test";

/** The problems of a server that is not ready, as part and sentence; the response has nothing that strangers must not know. */
export async function notReadyParts(url: string): Promise<(readonly [part: string, detail: string])[]> {
  const response = await fetch(`${url}/health/ready`);
  const text = await response.text();
  expect([response.status, response.headers.get("content-type")]).toEqual([503, "application/problem+json"]);
  expect([response.headers.get("cache-control"), response.headers.get("retry-after")]).toEqual(["no-store", "5"]);
  // No path, and no word of the system.
  expect(text).not.toMatch(/\/tmp|condarium|E[A-Z]{3,}|SQLITE|\.db/);
  const { type, title, status, detail, problems, ...rest } = JSON.parse(text) as Record<string, unknown>;
  const found = problems as { part: string; detail: string }[];
  const parts = found.map(({ part }) => part).join(", ");
  expect([type, title, status, detail]).toEqual([
    "about:blank",
    "Not ready",
    503,
    `The server is not ready: ${parts}.`,
  ]);
  expect(rest).toEqual({});
  return found.map((problem) => [problem.part, problem.detail] as const);
}
