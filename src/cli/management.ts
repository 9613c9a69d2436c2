// Shared by the management commands: opens the data folder beside a running server and closes it again.

import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { Management } from "../management.ts";
import type { Config } from "../config.ts";
import { usage } from "../errors.ts";
import { toOpenError } from "../models/database-errors.ts";
import type { ChannelName, OneChannel } from "../services/channel-ref.ts";
import { configOf, failpointOf } from "./options.ts";

/** Runs `work` on the data folder of the command's settings. */
export async function withManagement<T>(command: Command, work: (management: Management) => Promise<T>): Promise<T> {
  // First of all, because the models choose their tables when they are imported.
  const loaded = configOf(command);
  const { openManagement } = await import("../app.ts");
  const management = await openManagement(loaded.config, { failpoint: await failpointOf(loaded) });
  try {
    return await work(management);
  } catch (error) {
    throw namingDatabase(error, loaded.config);
  } finally {
    await management.close();
  }
}

/** Adds the place of the database to an error of it. */
export function namingDatabase(error: unknown, { data, database }: Pick<Config, "data" | "database">): unknown {
  return toOpenError(
    error,
    database === undefined
      ? { engine: "sqlite", path: join(resolve(data), "condarium.db") }
      : { engine: "postgres", url: database },
  );
}

/**
 * Parses `owner/channel`, `owner/-` for the unnamed channel, `owner` for all that an owner has, or
 * `type:owner/channel` for a package type other than conda. Errors: `usage`.
 */
export function parseChannelName(text: string): ChannelName {
  const slash = text.indexOf("/");
  const colon = text.indexOf(":");
  if (slash < 0 && colon < 0) return { owner: text, channel: undefined };
  const channel = text.slice(slash + 1);
  if (slash < 0 || channel === "")
    throw usage(`${text} is not a channel. Write OWNER/CHANNEL, or OWNER/- for the unnamed channel.`);
  const isTyped = colon >= 0 && colon < slash;
  return {
    type: isTyped ? text.slice(0, colon) : undefined,
    owner: text.slice(isTyped ? colon + 1 : 0, slash),
    channel: channel === "-" ? "" : channel,
  };
}

/** Parses a channel. Errors: `usage`, also for an owner. */
export function parseOneChannel(text: string): OneChannel {
  const { type, owner, channel } = parseChannelName(text);
  if (channel === undefined)
    throw usage(`${text} is an owner, not a channel. Write ${text}/CHANNEL, or ${text}/- for the unnamed channel.`);
  return { type, owner, channel };
}

/** Reads all of standard input as one secret, without its line end. Errors: `usage` for more than 4096 characters. */
export async function secretFromInput(): Promise<string> {
  const text = await Bun.stdin.text();
  if (text.length > 4096) throw usage("The password on standard input is longer than 4096 characters.");
  return text.replace(/\r?\n$/, "");
}
