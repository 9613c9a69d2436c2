// What the management commands share: they open the database beside a running server and close it again.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Management } from "../app.ts";
import type { Config } from "../config.ts";
import { usage } from "../errors.ts";
import { toOpenError } from "../models/sqlite/errors.ts";
import type { ChannelName } from "../services/channel-ref.ts";
import type { OneChannel } from "../services/channels.ts";
import { configOf, failpointOf } from "./options.ts";

/** Runs `work` on the data folder that the command's flags name. */
export async function withManagement<T>(command: Command, work: (management: Management) => Promise<T>): Promise<T> {
  const { openManagement } = await import("../app.ts");
  const loaded = configOf(command);
  const management = openManagement(loaded.config, { failpoint: await failpointOf(loaded) });
  try {
    return await work(management);
  } catch (error) {
    throw namingDatabase(error, loaded.config);
  } finally {
    management.close();
  }
}

/** An error of the database, with the file it is about. */
export function namingDatabase(error: unknown, config: Pick<Config, "data">): unknown {
  return toOpenError(error, join(resolve(config.data), "condarium.db"));
}

/**
 * `owner/channel`, `owner/-` for the unnamed channel, `owner` alone for all an owner has; `type:owner/channel` of another
 * package type than conda.
 */
export function parseChannelName(text: string): ChannelName {
  const slash = text.indexOf("/");
  const colon = text.indexOf(":");
  if (slash < 0 && colon < 0) return { owner: text, channel: undefined };
  const channel = text.slice(slash + 1);
  if (slash < 0 || channel === "")
    throw usage(`${text} names no channel: write owner/channel, or owner/- for the unnamed one.`);
  const isTyped = colon >= 0 && colon < slash;
  return {
    type: isTyped ? text.slice(0, colon) : undefined,
    owner: text.slice(isTyped ? colon + 1 : 0, slash),
    channel: channel === "-" ? "" : channel,
  };
}

/** A channel is needed, an owner alone will not do. */
export function parseOneChannel(text: string): OneChannel {
  const { type, owner, channel } = parseChannelName(text);
  if (channel === undefined) throw usage(`${text} is an owner: write owner/channel, or owner/- for the unnamed one.`);
  return { type, owner, channel };
}

/** The whole of standard input as one secret, without its line end. Errors: `usage` for more than 4 KiB. */
export async function secretFromInput(): Promise<string> {
  const text = await Bun.stdin.text();
  if (text.length > 4096) throw usage("The password on standard input is too long.");
  return text.replace(/\r?\n$/, "");
}
