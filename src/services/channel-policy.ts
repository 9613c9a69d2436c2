// Settings that a channel's owner can choose. The package type defines the keys and defaults; others are refused.

import type { z } from "zod";
import { invalidArgument } from "../errors.ts";
import type { ChannelRow } from "../models/channel.ts";

export type ChannelPolicy = Readonly<Record<string, unknown>>;
/** The policy keys of a package type, each with its default. */
export type PolicySchema<Policy extends ChannelPolicy = ChannelPolicy> = z.ZodType<Policy>;

export function policyOf<Policy extends ChannelPolicy>(
  schema: PolicySchema<Policy>,
  channel: ChannelRow | undefined,
): Policy {
  const policy = schema.safeParse(channel ? storedPolicy(channel) : {});
  if (policy.success) return policy.data;
  throw damaged(channel);
}

function storedPolicy(channel: ChannelRow): unknown {
  try {
    return JSON.parse(channel.policy);
  } catch {
    throw damaged(channel);
  }
}

function damaged(channel: ChannelRow | undefined): Error {
  return new Error(`the stored policy of the channel ${channel?.name ?? ""} is damaged`);
}

/** The policy after a change of some keys. Errors: `invalid-argument` for an unknown key or an invalid value. */
export function changedPolicy(schema: PolicySchema, channel: ChannelRow, change: ChannelPolicy): ChannelPolicy {
  const policy = schema.safeParse({ ...policyOf(schema, channel), ...change });
  if (policy.success) return policy.data;
  const [issue] = policy.error.issues;
  if (issue?.code !== "unrecognized_keys") throw invalidArgument(issue?.message ?? "The policy is invalid.");
  const known = Object.keys(policyOf(schema, undefined)).join(", ") || "none";
  throw invalidArgument(`Unknown policy ${issue.keys.join(", ")}. Valid policies: ${known}.`);
}
