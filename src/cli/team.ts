// condarium team create | list | show | edit | delete | add | remove

import { Command, Option } from "commander";
import { usage } from "../errors.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import type { TeamChange, TeamInfo } from "../services/teams.ts";
import { withManagement } from "./management.ts";
import { many, PLACE, ROLES, withSettings, type Role } from "./options.ts";
import { when, type Output } from "./output.ts";

type ChangeOptions = {
  readonly name?: string;
  readonly role?: Role;
  readonly channel?: readonly string[];
  readonly packages?: readonly string[];
};

const ACCOUNT = "name of a user, or ORGANIZATION/ROBOT";

export function teamCommand(output: Output): Command {
  return new Command("team")
    .description("manage the teams of organizations")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(showCommand(output))
    .addCommand(editCommand(output))
    .addCommand(deleteCommand(output))
    .addCommand(addCommand(output))
    .addCommand(removeCommand(output));
}

function createCommand(output: Output): Command {
  return withRights(simple("create", "create a team without members"), { isNew: true }).action(
    async (text: string, options: ChangeOptions & { role: Role }, command: Command) => {
      const { organization, team: name } = parseTeam(text);
      const { role, ...rights } = rightsOf(options);
      const team = { ...rights, name, role: role ?? options.role };
      await withManagement(command, ({ teams }) => teams.create(COMMAND_LINE, organization, team));
      output.note(`Team ${text} created. To add members: condarium team add ${text} USER`);
    },
  );
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), PLACE)
    .description("list the teams of an organization")
    .argument("<organization>", "name of the organization")
    .option("--json", "print JSON")
    .action(async (organization: string, options: { json?: boolean }, command: Command) => {
      const rows = await withManagement(command, ({ teams }) => teams.list(COMMAND_LINE, organization));
      output.rows(rows.map(shown), options.json === true);
    });
}

function showCommand(output: Output): Command {
  return simple("show", "show a team with its members")
    .option("--json", "print JSON")
    .action(async (text: string, options: { json?: boolean }, command: Command) => {
      const ref = parseTeam(text);
      const info = await withManagement(command, async ({ teams }) => ({
        ...shown(await teams.show(COMMAND_LINE, ref)),
        members: (await teams.members(COMMAND_LINE, ref)).map(({ name }) => name),
      }));
      if (options.json === true) return output.line(JSON.stringify(info, null, 2));
      const rows = Object.entries(info).map(([key, value]) => ({ key, value }));
      return output.rows(rows, false);
    });
}

function editCommand(output: Output): Command {
  return withRights(simple("edit", "change the name and the rights of a team"), { isNew: false })
    .option("--name <name>", "new name of the team")
    .action(async (text: string, options: ChangeOptions, command: Command) => {
      const [ref, change] = [parseTeam(text), { name: options.name, ...rightsOf(options) }];
      await withManagement(command, ({ teams }) => teams.change(COMMAND_LINE, ref, change));
      output.note(`Team ${text} changed.`);
    });
}

function deleteCommand(output: Output): Command {
  return simple("delete", "delete a team; members without another team leave the organization").action(
    async (text: string, _: unknown, command: Command) => {
      const ref = parseTeam(text);
      await withManagement(command, ({ teams }) => teams.remove(COMMAND_LINE, ref));
      output.note(`Team ${text} deleted.`);
    },
  );
}

function addCommand(output: Output): Command {
  return simple("add", "add a user to a team, or a robot of its organization")
    .argument("<account>", ACCOUNT)
    .action(async (text: string, account: string, _: unknown, command: Command) => {
      const ref = parseTeam(text);
      await withManagement(command, ({ teams }) => teams.addMember(COMMAND_LINE, ref, account));
      output.note(`${account} is in the team ${text}.`);
    });
}

function removeCommand(output: Output): Command {
  return simple("remove", "remove an account from a team; a user without another team leaves the organization")
    .argument("<account>", ACCOUNT)
    .action(async (text: string, account: string, _: unknown, command: Command) => {
      const ref = parseTeam(text);
      await withManagement(command, ({ teams }) => teams.removeMember(COMMAND_LINE, ref, account));
      output.note(`${account} is no longer in the team ${text}.`);
    });
}

function simple(name: string, description: string): Command {
  return withSettings(new Command(name), PLACE).description(description).argument("<team>", "ORGANIZATION/TEAM");
}

function withRights(command: Command, { isNew }: { readonly isNew: boolean }): Command {
  const all = isNew ? " (default: all)" : "";
  const role = new Option("--role <role>", "what the members can do").choices(ROLES);
  return command
    .addOption(isNew ? role.makeOptionMandatory() : role)
    .option(
      "--channel <pattern>",
      `only channels of the organization that match, for example dev/*, - for the unnamed one; repeatable${all}`,
      many,
    )
    .option(
      "--packages <pattern>",
      `change only packages whose name matches, for example my-*; repeatable${all}`,
      many,
    );
}

function rightsOf({ role, channel, packages }: ChangeOptions): TeamChange {
  return { role, channels: channel, packages };
}

/** Errors: `usage`. */
function parseTeam(text: string): { readonly organization: string; readonly team: string } {
  const [organization = "", team = "", ...more] = text.split("/");
  if (organization === "" || team === "" || more.length > 0)
    throw usage(`${text} is not a team. Write ORGANIZATION/TEAM.`);
  return { organization, team };
}

function shown({ id, organization, name, role, channels, packages, created }: TeamInfo) {
  return { id, team: `${organization}/${name}`, role, channels, packages, created: when(created) };
}
