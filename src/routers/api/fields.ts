// Schemas that several bodies of the API share.

import { z } from "zod";

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
