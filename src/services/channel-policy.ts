// What a channel's owner may choose: the keys are the package type's. Every key has a default, unknown keys are refused.

import type { z } from "zod";
import { invalidArgument } from "../errors.ts";
import type { ChannelRow } from "../models/channel.ts";

export type ChannelPolicy = Readonly<Record<string, unknown>>;
/** The keys that a package type has, each with its default. */
export type PolicySchema<Policy extends ChannelPolicy = ChannelPolicy> = z.ZodType<Policy>;

export function policyOf<Policy extends ChannelPolicy>(
  schema: PolicySchema<Policy>,
  channel: ChannelRow | undefined,
): Policy {
  return schema.parse(channel ? JSON.parse(channel.policy) : {});
}

/** The policy after a change of some keys. Errors: `invalid-argument` for a key or value that there is not. */
export function changedPolicy(schema: PolicySchema, channel: ChannelRow, change: ChannelPolicy): ChannelPolicy {
  const policy = schema.safeParse({ ...policyOf(schema, channel), ...change });
  if (policy.success) return policy.data;
  const [issue] = policy.error.issues;
  if (issue?.code !== "unrecognized_keys") throw invalidArgument(issue?.message ?? "The policy is not valid.");
  const known = Object.keys(policyOf(schema, undefined)).join(", ") || "none";
  throw invalidArgument(`There is no policy ${issue.keys.join(", ")}; there are ${known}.`);
}
