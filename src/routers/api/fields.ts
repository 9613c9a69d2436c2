// Schemas that several bodies of the API share.

import { z } from "zod";
import { AppError } from "../../errors.ts";

/** A member that can be missing; clients written in Go send null for it. */
export function maybe<Schema extends z.ZodType>(schema: Schema) {
  return schema.nullish().transform((value): z.output<Schema> | undefined => value ?? undefined);
}

/** Gitea calls `internal` limited. */
export const visibility = z
  .enum(["public", "internal", "limited", "private"])
  .transform((word) => (word === "limited" ? "internal" : word));

export const words = maybe(z.array(z.string().max(256)).max(64)).transform((list) => list ?? []);

/** The new name of an owner: Gitea has another member for users than for organizations. */
export const newName = z
  .object({ new_username: maybe(z.string()), new_name: maybe(z.string()) })
  .transform((body) => body.new_username ?? body.new_name ?? "");

const ROLES = ["reader", "publisher", "maintainer", "owner"] as const;
type Role = (typeof ROLES)[number];
/** Gitea's words for the rights of a team. */
const PERMISSIONS = { read: "reader", write: "publisher", admin: "owner" } as const;

/** The members of a body that give a role: `role`, or Gitea's `permission`. */
export const roleWords = {
  role: maybe(z.enum(ROLES)),
  permission: maybe(z.enum(["read", "write", "admin"])),
};
type RoleWords = { readonly role?: Role | undefined; readonly permission?: keyof typeof PERMISSIONS | undefined };

/** Errors: `unprocessable` for a body without a role. */
export function roleOf(body: RoleWords): Role {
  const role = givenRole(body);
  if (role !== undefined) return role;
  throw new AppError("unprocessable", `The member "role" must be one of ${ROLES.join(", ")}.`, {
    members: { field: "role" },
  });
}

export function givenRole({ role, permission }: RoleWords): Role | undefined {
  return role ?? (permission && PERMISSIONS[permission]);
}
