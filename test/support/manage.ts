// The management services as the command line calls them: tests set their scenes with these.

import type { Management } from "../../src/app.ts";
import { COMMAND_LINE, type Actor } from "../../src/services/actor.ts";

type Services = Pick<Management, "users" | "tokens" | "channels" | "grants">;

/** A service whose methods know their actor already. */
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
  const { users, tokens, channels, grants } = services;
  return Object.fromEntries(
    Object.entries({ users, tokens, channels, grants }).map(([name, service]) => [name, bound(service)]),
  ) as Manage;
}
