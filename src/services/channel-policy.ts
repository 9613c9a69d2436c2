// What a channel's owner may choose. Every key has a default, unknown keys are refused.

import { z } from "zod";
import { invalidArgument } from "../errors.ts";
import type { ChannelRow } from "../models/channel.ts";

const LONGEST_AGE = 86_400;

const channelPolicy = z
  .strictObject({
    /** `strict` refuses packages with warnings. */
    validation: z.enum(["standard", "strict"], "validation must be standard or strict.").default("standard"),
    /** Who is offered shards: all but the mamba versions that would miss new packages for a day, all, or nobody. */
    shards: z.enum(["fresh", "on", "off"], "shards must be fresh, on or off.").default("fresh"),
    /** Seconds that clients may use a document without asking again. */
    maxAge: z
      .int(`max-age must be a whole number of seconds from 0 to ${LONGEST_AGE}.`)
      .min(0, `max-age must be at least 0 seconds.`)
      .max(LONGEST_AGE, `max-age must be at most ${LONGEST_AGE} seconds, which is a day.`)
      .default(0),
  })
  .readonly();
export type ChannelPolicy = z.infer<typeof channelPolicy>;

export function policyOf(channel: ChannelRow | undefined): ChannelPolicy {
  return channelPolicy.parse(channel ? JSON.parse(channel.policy) : {});
}

/** The policy after a change of some keys. Errors: `invalid-argument` for a key or value that there is not. */
export function changedPolicy(channel: ChannelRow, change: Readonly<Record<string, unknown>>): ChannelPolicy {
  const policy = channelPolicy.safeParse({ ...policyOf(channel), ...change });
  if (policy.success) return policy.data;
  const [issue] = policy.error.issues;
  if (issue?.code !== "unrecognized_keys") throw invalidArgument(issue?.message ?? "The policy is not valid.");
  const known = Object.keys(policyOf(undefined)).join(", ");
  throw invalidArgument(`There is no policy ${issue.keys.join(", ")}; there are ${known}.`);
}
