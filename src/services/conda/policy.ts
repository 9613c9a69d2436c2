// The policy settings of a conda channel.

import { z } from "zod";
import type { ChannelRow } from "../../models/channel.ts";
import { policyOf } from "../channel-policy.ts";

const LONGEST_AGE = 86_400;

export const condaPolicy = z
  .strictObject({
    /** `strict` refuses packages with warnings. */
    validation: z.enum(["standard", "strict"], "validation must be standard or strict.").default("standard"),
    /** Clients that get shards: all but the mamba versions that would miss new packages for a day; all; none. */
    shards: z.enum(["fresh", "on", "off"], "shards must be fresh, on or off.").default("fresh"),
    /** Seconds that clients can use a cached document without revalidating it. */
    maxAge: z
      .int(`max-age must be a whole number of seconds from 0 to ${LONGEST_AGE}.`)
      .min(0, `max-age must be at least 0 seconds.`)
      .max(LONGEST_AGE, `max-age must be at most ${LONGEST_AGE} seconds, which is a day.`)
      .default(0),
  })
  .readonly();
type CondaPolicy = z.infer<typeof condaPolicy>;

/** Most channels have it, and every request needs one. */
const DEFAULT_POLICY: CondaPolicy = condaPolicy.parse({});

export function condaPolicyOf(channel: ChannelRow | undefined): CondaPolicy {
  if (channel === undefined || channel.policy === "{}") return DEFAULT_POLICY;
  return policyOf<CondaPolicy>(condaPolicy, channel);
}
