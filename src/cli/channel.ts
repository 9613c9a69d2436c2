// condarium channel create | list | show | set | grant | revoke | transfer | delete

import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import type { ChannelInfo } from "../services/channels.ts";
import { limitText } from "../services/token-limits.ts";
import { deleteCommand } from "./channel-delete.ts";
import { transferCommand } from "./channel-transfer.ts";
import { parseChannelName, parseOneChannel, withManagement } from "./management.ts";
import { many, PLACE, ROLES, withSettings, type Role } from "./options.ts";
import { orNull, type Output } from "./output.ts";

type ChangeOptions = {
  readonly visibility?: ChannelInfo["visibility"];
  readonly description?: string;
  readonly validation?: string;
  readonly shards?: string;
  readonly maxAge?: number;
};

type GrantOptions = { readonly packages?: readonly string[] };

const CHANNEL = "OWNER/CHANNEL; OWNER/- for the unnamed channel, generic:OWNER/- for the generic packages";
const HOLDER = "name of the user, or ORGANIZATION/NAME of a robot or team";
const CHANNEL_OR_OWNER = `${CHANNEL}; OWNER for everything that the owner has`;

export function channelCommand(output: Output, result: { code: number }): Command {
  return new Command("channel")
    .description("manage channels, their settings and their roles")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(showCommand(output))
    .addCommand(setCommand(output))
    .addCommand(grantCommand(output))
    .addCommand(revokeCommand(output))
    .addCommand(transferCommand(output, CHANNEL))
    .addCommand(deleteCommand(output, result, CHANNEL));
}

function createCommand(output: Output): Command {
  return withChanges(command("create", "create a channel"), { isNew: true })
    .argument("<channel>", CHANNEL)
    .action(async (channel: string, options: ChangeOptions, self: Command) => {
      const [name, change] = [parseOneChannel(channel), changeOf(options)];
      await withManagement(self, ({ channels }) => channels.create(COMMAND_LINE, name, change));
      output.note(`Channel ${channel} created.`);
    });
}

function listCommand(output: Output): Command {
  return command("list", "list channels")
    .argument("[owner]", "list only the channels of this owner")
    .option("--json", "print JSON")
    .action(async (owner: string | undefined, options: { json?: boolean }, self: Command) => {
      const channels = await withManagement(self, (management) => management.channels.list(COMMAND_LINE, owner));
      const rows = channels.map(({ channel, visibility, files, revision, description }) => ({
        channel,
        visibility,
        files,
        revision,
        description: orNull(description),
      }));
      output.rows(rows, options.json === true);
    });
}

function showCommand(output: Output): Command {
  return command("show", "show a channel with its policy and roles, or the roles on an owner")
    .argument("<channel>", CHANNEL_OR_OWNER)
    .option("--json", "print JSON")
    .action(async (channel: string, options: { json?: boolean }, self: Command) => {
      const { type, owner, channel: name } = parseChannelName(channel);
      const info = await withManagement(self, async ({ channels, grants }) => ({
        ...(name === undefined ? { owner } : shown(await channels.show(COMMAND_LINE, { type, owner, channel: name }))),
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

function shown({ channel, visibility, description, revision, policy, files, bytes }: ChannelInfo) {
  return { channel, visibility, description: orNull(description), revision, policy, files, bytes };
}

function setCommand(output: Output): Command {
  const description = "change settings of a channel, or the visibility of an owner";
  return withChanges(command("set", description), { isNew: false })
    .argument("<channel>", CHANNEL_OR_OWNER)
    .action(async (channel: string, options: ChangeOptions, self: Command) => {
      const [name, change] = [parseChannelName(channel), changeOf(options)];
      await withManagement(self, ({ channels }) => channels.change(COMMAND_LINE, name, change));
      output.note(`${channel} changed.`);
    });
}

function grantCommand(output: Output): Command {
  return command("grant", "give a user, robot or team a role on a channel or owner; replaces its role there")
    .argument("<channel>", CHANNEL_OR_OWNER)
    .argument("<user>", HOLDER)
    .addArgument(new Argument("<role>", "what the user can do").choices(ROLES))
    .option(
      "--packages <pattern>",
      "change only packages whose name matches, for example my-*; repeatable (default: all)",
      many,
    )
    .action(async (channel: string, user: string, role: Role, { packages }: GrantOptions, self: Command) => {
      const name = parseChannelName(channel);
      await withManagement(self, ({ grants }) => grants.set(COMMAND_LINE, name, user, role, packages));
      output.note(`${user} is now ${role} of ${channel}${limitText(packages ?? ["*"])}.`);
    });
}

function revokeCommand(output: Output): Command {
  return command("revoke", "remove the role of a user, robot or team on a channel or owner")
    .argument("<channel>", CHANNEL_OR_OWNER)
    .argument("<user>", HOLDER)
    .action(async (channel: string, user: string, _: unknown, self: Command) => {
      const name = parseChannelName(channel);
      const { remaining } = await withManagement(self, ({ grants }) => grants.revoke(COMMAND_LINE, name, user));
      if (remaining === undefined) return output.note(`${user} no longer has a role on ${channel}.`);
      output.note(
        `${user} no longer has a role on ${channel} itself, but is still ${remaining.role} of all that ${name.owner} has` +
          `${limitText(remaining.packages)}. ` +
          `To remove that role: condarium channel revoke ${name.owner} ${user}`,
      );
    });
}

function command(name: string, description: string): Command {
  return withSettings(new Command(name), PLACE).description(description);
}

function withChanges(self: Command, { isNew }: { readonly isNew: boolean }): Command {
  const help = (text: string, value: string): string => (isNew ? `${text} (default: ${value})` : text);
  const visibility = new Option("--visibility <visibility>", help("who can read the channel", "that of the owner"));
  const validation = new Option("--validation <level>", help("strict rejects packages with warnings", "standard"));
  const shards = new Option(
    "--shards <clients>",
    help("which clients get shards; fresh excludes mamba 2.6 to 2.8, which would miss new packages for a day", "fresh"),
  );
  return self
    .addOption(visibility.choices(["public", "internal", "private"]))
    .addOption(validation.choices(["standard", "strict"]))
    .addOption(shards.choices(["fresh", "on", "off"]))
    .option("--description <text>", help("one line about the channel", "none"))
    .option("--max-age <seconds>", help("how long clients can cache index documents, up to 86400", "0"), seconds);
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
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number of seconds, for example 60.");
  return Number(text);
}
