// condarium channel create | list | show | set | grant | revoke | delete

import { Command, InvalidArgumentError, Option } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import type { ChannelInfo } from "../services/channels.ts";
import type { GrantInfo } from "../services/grants.ts";
import { parseChannelName, parseOneChannel, withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import type { Output } from "./output.ts";

type ChangeOptions = {
  readonly visibility?: ChannelInfo["visibility"];
  readonly description?: string;
  readonly validation?: string;
  readonly shards?: string;
  readonly maxAge?: number;
};
type Role = GrantInfo["role"];

const CHANNEL = "owner/channel; owner/- is the owner's unnamed channel, generic:owner/- that of generic packages";
const PLACE = `${CHANNEL}; owner alone is everything the owner has`;

export function channelCommand(output: Output): Command {
  return new Command("channel")
    .description("manage channels and who may use them")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(showCommand(output))
    .addCommand(setCommand(output))
    .addCommand(grantCommand(output))
    .addCommand(revokeCommand(output))
    .addCommand(deleteCommand(output));
}

function createCommand(output: Output): Command {
  return withChanges(command("create", "create a channel"))
    .argument("<channel>", CHANNEL)
    .action(async (channel: string, options: ChangeOptions, self: Command) => {
      const [name, change] = [parseOneChannel(channel), changeOf(options)];
      await withManagement(self, ({ channels }) => channels.create(COMMAND_LINE, name, change));
      output.note(`${channel} is created.`);
    });
}

function listCommand(output: Output): Command {
  return command("list", "list the channels")
    .argument("[owner]", "only those of this owner")
    .option("--json", "print JSON")
    .action(async (owner: string | undefined, options: { json?: boolean }, self: Command) => {
      const channels = await withManagement(self, (management) => management.channels.list(COMMAND_LINE, owner));
      const rows = channels.map(({ channel, visibility, files, revision, description }) => ({
        channel,
        visibility,
        files,
        revision,
        description,
      }));
      output.rows(rows, options.json === true);
    });
}

function showCommand(output: Output): Command {
  return command("show", "show one channel, its policy and its roles; of an owner, the roles on everything it has")
    .argument("<channel>", PLACE)
    .option("--json", "print JSON")
    .action(async (channel: string, options: { json?: boolean }, self: Command) => {
      const { type, owner, channel: name } = parseChannelName(channel);
      const info = await withManagement(self, async ({ channels, grants }) => ({
        ...(name === undefined ? { owner } : await channels.show(COMMAND_LINE, { type, owner, channel: name })),
        grants: await grants.list(COMMAND_LINE, { type, owner, channel: name }),
      }));
      if (options.json === true) {
        output.line(JSON.stringify(info, null, 2));
        return;
      }
      output.rows(
        Object.entries(info).map(([key, value]) => ({ key, value })),
        false,
      );
    });
}

function setCommand(output: Output): Command {
  return withChanges(command("set", "change a channel's visibility, description or policy"))
    .argument("<channel>", PLACE)
    .action(async (channel: string, options: ChangeOptions, self: Command) => {
      const [name, change] = [parseChannelName(channel), changeOf(options)];
      await withManagement(self, ({ channels }) => channels.change(COMMAND_LINE, name, change));
      output.note(`${channel} is changed.`);
    });
}

function grantCommand(output: Output): Command {
  return command("grant", "give a user a role; it replaces the one the user has there")
    .argument("<channel>", PLACE)
    .argument("<user>")
    .argument("<role>", "reader, publisher, maintainer or owner", roleOf)
    .action(async (channel: string, user: string, role: Role, _: unknown, self: Command) => {
      const name = parseChannelName(channel);
      await withManagement(self, ({ grants }) => grants.set(COMMAND_LINE, name, user, role));
      output.note(`${user} is ${role} of ${channel}.`);
    });
}

function revokeCommand(output: Output): Command {
  return command("revoke", "take a user's role away")
    .argument("<channel>", PLACE)
    .argument("<user>")
    .action(async (channel: string, user: string, _: unknown, self: Command) => {
      const name = parseChannelName(channel);
      const { remaining } = await withManagement(self, ({ grants }) => grants.revoke(COMMAND_LINE, name, user));
      if (remaining === undefined) return output.note(`${user} has no role on ${channel} any more.`);
      output.note(
        `${user} has no role on ${channel} alone any more, but is still ${remaining} of all that ${name.owner} has: condarium channel revoke ${name.owner} ${user}`,
      );
    });
}

function deleteCommand(output: Output): Command {
  return command("delete", "delete a channel that holds no files")
    .argument("<channel>", CHANNEL)
    .action(async (channel: string, _: unknown, self: Command) => {
      await withManagement(self, ({ channels }) => channels.remove(COMMAND_LINE, parseOneChannel(channel)));
      output.note(`${channel} is deleted.`);
    });
}

function command(name: string, description: string): Command {
  return withSettings(new Command(name), ["data"]).description(description);
}

function withChanges(self: Command): Command {
  const visibility = new Option("--visibility <visibility>", "who may read it");
  const validation = new Option("--validation <level>", "strict refuses packages with warnings");
  const shards = new Option(
    "--shards <whom>",
    "who is offered shards: fresh leaves out versions of mamba that would miss new packages for a day",
  );
  return self
    .addOption(visibility.choices(["public", "internal", "private"]))
    .addOption(validation.choices(["standard", "strict"]))
    .addOption(shards.choices(["fresh", "on", "off"]))
    .option("--description <text>", "a line about the channel")
    .option("--max-age <seconds>", "how long clients may use its documents without asking again", seconds);
}

function changeOf(options: ChangeOptions) {
  const policy: Record<string, unknown> = {};
  if (options.validation !== undefined) policy.validation = options.validation;
  if (options.shards !== undefined) policy.shards = options.shards;
  if (options.maxAge !== undefined) policy.maxAge = options.maxAge;
  const { visibility, description } = options;
  return { visibility, description, policy: Object.keys(policy).length > 0 ? policy : undefined };
}

function seconds(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number of seconds.");
  return Number(text);
}

function roleOf(text: string): Role {
  const roles: readonly Role[] = ["reader", "publisher", "maintainer", "owner"];
  const role = roles.find((candidate) => candidate === text);
  if (!role) throw new InvalidArgumentError(`It must be one of ${roles.join(", ")}.`);
  return role;
}
