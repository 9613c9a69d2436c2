// Users: the profile of the caller and of others, and their management by administrators, as Gitea has them.

import { z } from "zod";
import type { Profiles } from "../../services/profiles.ts";
import type { UserChange } from "../../services/user-change.ts";
import type { Users } from "../../services/users.ts";
import { created, NO_CONTENT, ok } from "./answers.ts";
import { maybe, newName, visibility } from "./fields.ts";
import { giteaUser } from "./gitea.ts";
import { pagedAnswer, pageOf } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type UserRouteParts = { readonly users: Users; readonly profiles: Profiles };

const profile = {
  full_name: maybe(z.string().max(100)),
  email: maybe(z.union([z.literal(""), z.email().max(254)])),
  must_change_password: maybe(z.boolean()),
  visibility: maybe(visibility),
};
const newUser = z.object({
  ...profile,
  username: z.string(),
  password: z.string(),
  admin: maybe(z.boolean()),
});
const changedUser = z.object({
  ...profile,
  password: maybe(z.string()),
  admin: maybe(z.boolean()),
  active: maybe(z.boolean()),
  prohibit_login: maybe(z.boolean()),
  hidden: maybe(z.boolean()),
});

export function userRoutes({ users, profiles }: UserRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/user",
      action: "signed-in",
      answer: async ({ actor, publicUrl }) => ok(giteaUser(profiles.own(actor), publicUrl)),
    }),
    route({
      method: "GET",
      path: "/users/:user",
      action: "view",
      answer: async ({ actor, params, publicUrl }) => ok(giteaUser(await profiles.show(actor, params.user), publicUrl)),
    }),
    route({
      method: "GET",
      path: "/admin/users",
      action: "administer",
      answer: async (call) => {
        const { items, total } = await profiles.list(call.actor, pageOf(call.query));
        return pagedAnswer(call, { items: items.map((item) => giteaUser(item, call.publicUrl)), total });
      },
    }),
    route({
      method: "POST",
      path: "/admin/users",
      action: "administer",
      body: newUser,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, body, publicUrl }) => {
        const { username: name, password, full_name: displayName = "", email = "", admin = false } = body;
        const mustChangePassword = body.must_change_password ?? false;
        const settings = { displayName, email, mustChangePassword, visibility: body.visibility, isAdmin: admin };
        await users.create(actor, { name, password, ...settings });
        return created(giteaUser(await profiles.show(actor, name), publicUrl));
      },
    }),
    route({
      method: "PATCH",
      path: "/admin/users/:user",
      action: "administer",
      body: changedUser,
      codes: { invalid: "malformed" },
      answer: async ({ actor, params, body, publicUrl }) => {
        await users.change(actor, params.user, changeOf(body));
        return ok(giteaUser(await profiles.show(actor, params.user), publicUrl));
      },
    }),
    route({
      method: "POST",
      path: "/admin/users/:user/rename",
      action: "administer",
      body: newName,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, params, body }) => {
        await users.rename(actor, params.user, body);
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: "/admin/users/:user",
      action: "administer",
      answer: async ({ actor, params, query }) => {
        await users.remove(actor, params.user, { purge: query.get("purge") === "true" });
        return NO_CONTENT;
      },
    }),
  ];
}

/** An empty password changes nothing: Gitea's clients send all members of the form. */
function changeOf({ password, ...body }: z.output<typeof changedUser>): UserChange {
  // Both of Gitea's members forbid the login; one of them is enough.
  const forbidden = [body.prohibit_login, body.active === undefined ? undefined : !body.active];
  const said = forbidden.filter((value) => value !== undefined);
  return {
    password: password === "" ? undefined : password,
    mustChangePassword: body.must_change_password,
    disabled: said.length === 0 ? undefined : said.includes(true),
    hidden: body.hidden,
    isAdmin: body.admin,
    displayName: body.full_name,
    email: body.email,
    visibility: body.visibility,
  };
}
