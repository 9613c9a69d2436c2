// The management services as the command line calls them: tests prepare their data with these.

import type { Management } from "../../src/management.ts";
import { COMMAND_LINE, type Actor } from "../../src/services/actor.ts";

type Services = Pick<
  Management,
  "users" | "tokens" | "channels" | "grants" | "organizations" | "teams" | "robots" | "names" | "transfers"
>;

/** A service whose methods already have their actor. */
export type Manage = {
  readonly [Name in keyof Services]: {
    readonly [Verb in keyof Services[Name]]: Services[Name][Verb] extends (actor: Actor, ...rest: infer Rest) => infer T
      ? (...rest: Rest) => T
      : never;
  };
};

export function manageAs(services: Services, actor: Actor = COMMAND_LINE): Manage {
  const bound = (service: object): unknown =>
    Object.fromEntries(Object.entries(service).map(([verb, work]) => [verb, work.bind(undefined, actor)]));
  const { users, tokens, channels, grants, organizations, teams, robots, names, transfers } = services;
  return Object.fromEntries(
    Object.entries({ users, tokens, channels, grants, organizations, teams, robots, names, transfers }).map(
      ([name, service]) => [name, bound(service)],
    ),
  ) as Manage;
}

type TokenRequest = Parameters<Manage["tokens"]["create"]>[0];

/** Creates a token with the given limits, and without any other; returns its secret. */
export async function newToken(
  manage: Manage,
  request: Pick<TokenRequest, "user" | "name"> & Partial<TokenRequest>,
): Promise<string> {
  return await manage.tokens.create({ scopes: [], channels: [], packages: [], lifetime: undefined, ...request });
}
