// Robots of organizations: accounts that have only tokens.

import { z } from "zod";
import type { RobotInfo, Robots } from "../../services/robots.ts";
import { created, NO_CONTENT, timeOf } from "./answers.ts";
import { cursorOf, limitOf, listAnswer } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type RobotRouteParts = { readonly robots: Robots };

const ROBOTS = "/orgs/:org/robots";
const newRobot = z.object({ name: z.string() });

export function robotRoutes({ robots }: RobotRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: ROBOTS,
      action: "belong",
      answer: async ({ actor, params, query }) => {
        const after = cursorOf(query, z.string()) ?? "";
        const rest = (await robots.list(actor, params.org)).filter(({ name }) => name > after);
        const items = rest.slice(0, limitOf(query));
        return listAnswer(items.map(shown), rest.length > items.length ? items.at(-1)?.name : undefined);
      },
    }),
    route({
      method: "POST",
      path: ROBOTS,
      action: "organize",
      body: newRobot,
      answer: async ({ actor, params, body }) => created(shown(await robots.create(actor, params.org, body.name))),
    }),
    route({
      method: "DELETE",
      path: `${ROBOTS}/:robot`,
      action: "organize",
      answer: async ({ actor, params }) => {
        await robots.remove(actor, params.org, params.robot);
        return NO_CONTENT;
      },
    }),
  ];
}

/** `account` is the name of the robot everywhere else. */
function shown({ name, account, created: at }: RobotInfo) {
  return { name, account, created_at: timeOf(at) };
}
