// What each actor can do in a channel, whatever its package type: the tests of each type run the same matrix.

import type { Actor, TestApp } from "./app.ts";

export const VISIBILITIES = ["public", "internal", "private"] as const;
export const ROLES = ["reader", "publisher", "maintainer"] as const;

/** By actor, for a public, an internal and a private channel: r read, p publish, d delete. */
const RIGHTS: Readonly<Record<string, readonly [pub: string, internal: string, priv: string]>> = {
  anonymous: ["r", "", ""],
  stranger: ["r", "r", ""],
  reader: ["r", "r", "r"],
  publisher: ["rp", "rp", "rp"],
  maintainer: ["rpd", "rpd", "rpd"],
  owner: ["rpd", "rpd", "rpd"],
  admin: ["rpd", "rpd", "rpd"],
};

export type MatrixCase = {
  readonly name: string;
  readonly visibility: (typeof VISIBILITIES)[number];
  readonly rights: string;
  /** The status of everything that the actor cannot do. */
  readonly refusal: number;
};

export const MATRIX: readonly MatrixCase[] = Object.entries(RIGHTS).flatMap(([name, rights]) =>
  VISIBILITIES.map((visibility, at) => ({
    name,
    visibility,
    rights: rights[at] ?? "",
    refusal: name === "anonymous" ? 401 : 403,
  })),
);

/** The name of the test of a case, behind "give" or "gives". */
export function matrixTitle({ name, visibility, rights }: MatrixCase): string {
  return `${name} the rights ${rights === "" ? "none" : rights} in a ${visibility} channel`;
}

/** Adds a user for each actor of the matrix, and `others`; the administrator is `boss`. */
export async function addMatrixActors(server: TestApp, others: readonly string[]): Promise<Record<string, Actor>> {
  const actors: Record<string, Actor> = { anonymous: server.anonymous };
  for (const name of ["stranger", ...ROLES, ...others]) actors[name] = await server.addUser(name);
  actors.admin = await server.addUser("boss", { admin: true });
  return actors;
}
