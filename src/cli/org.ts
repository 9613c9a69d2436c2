// condarium org create | list | show | edit | delete | rename | members | remove-member

import { Command, Option } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import type { OrganizationChange, OrganizationInfo, Organizations } from "../services/organizations.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { orNull, when, type Output } from "./output.ts";

type ChangeOptions = {
  readonly displayName?: string;
  readonly description?: string;
  readonly visibility?: keyof typeof VISIBILITY;
};

/** Gitea calls internal limited. */
const VISIBILITY = { public: "public", internal: "internal", limited: "internal", private: "private" } as const;
const NAMES = [...PLACE, "public-url", "name-hold-days"] as const;
const NEW_NAME = "1 to 63 characters: a-z, 0-9, dot, dash and underscore";

export function orgCommand(output: Output): Command {
  return new Command("org")
    .description("manage organizations, which own channels like users and cannot sign in")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(showCommand(output))
    .addCommand(editCommand(output))
    .addCommand(deleteCommand(output))
    .addCommand(renameCommand(output))
    .addCommand(membersCommand(output))
    .addCommand(removeMemberCommand(output));
}

function createCommand(output: Output): Command {
  return withChanges(withSettings(new Command("create"), [...NAMES, "default-visibility"]))
    .description("create an organization with its team Owners")
    .argument("<name>", NEW_NAME)
    .requiredOption("--owner <user>", "the first member of the team Owners")
    .action(async (name: string, options: ChangeOptions & { owner: string }, command: Command) => {
      const organization = { name, owner: options.owner, ...changeOf(options) };
      await withManagement(command, ({ organizations }) => organizations.create(COMMAND_LINE, organization));
      output.note(`Organization ${name} created. ${options.owner} is its owner.`);
    });
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), PLACE)
    .description("list organizations")
    .option("--json", "print JSON")
    .action(async (options: { json?: boolean }, command: Command) => {
      const rows = await withManagement(command, ({ organizations }) => everyOrganization(organizations));
      output.rows(rows.map(shown), options.json === true);
    });
}

async function everyOrganization({ list }: Organizations): Promise<OrganizationInfo[]> {
  const all: OrganizationInfo[] = [];
  for (let after: string | undefined = ""; after !== undefined;) {
    const page: OrganizationInfo[] = await list(COMMAND_LINE, { after });
    all.push(...page);
    after = page.at(-1)?.name;
  }
  return all;
}

function showCommand(output: Output): Command {
  return simple("show", "show an organization with its teams and robots")
    .option("--json", "print JSON")
    .action(async (name: string, options: { json?: boolean }, command: Command) => {
      const info = await withManagement(command, async ({ organizations, teams, robots }) => ({
        ...shown(await organizations.show(COMMAND_LINE, name)),
        teams: (await teams.list(COMMAND_LINE, name)).map((team) => team.name),
        robots: (await robots.list(COMMAND_LINE, name)).map((robot) => robot.account),
      }));
      if (options.json === true) return output.line(JSON.stringify(info, null, 2));
      const rows = Object.entries(info).map(([key, value]) => ({ key, value }));
      return output.rows(rows, false);
    });
}

function editCommand(output: Output): Command {
  return withChanges(simple("edit", "change the texts and the visibility of an organization")).action(
    async (name: string, options: ChangeOptions, command: Command) => {
      await withManagement(command, ({ organizations }) => organizations.change(COMMAND_LINE, name, changeOf(options)));
      output.note(`Organization ${name} changed.`);
    },
  );
}

function deleteCommand(output: Output): Command {
  return simple("delete", "delete an organization without channels, its teams, its robots and their tokens").action(
    async (name: string, _: unknown, command: Command) => {
      await withManagement(command, ({ organizations }) => organizations.remove(COMMAND_LINE, name));
      output.note(`Organization ${name} deleted.`);
    },
  );
}

function renameCommand(output: Output): Command {
  return withSettings(new Command("rename"), NAMES)
    .description("rename an organization; addresses with the old name stop working")
    .argument("<name>", "name of the organization")
    .argument("<new-name>", NEW_NAME)
    .action(async (name: string, newName: string, _: unknown, command: Command) => {
      const to = await withManagement(command, ({ organizations }) =>
        organizations.rename(COMMAND_LINE, name, newName),
      );
      output.note(`Organization ${name} is now ${to}. Tokens limited to channels of ${name} must be made again.`);
    });
}

function membersCommand(output: Output): Command {
  return simple("members", "list the users in an organization's teams")
    .option("--json", "print JSON")
    .action(async (name: string, options: { json?: boolean }, command: Command) => {
      const rows = await withManagement(command, ({ organizations }) => organizations.members(COMMAND_LINE, name));
      output.rows(rows, options.json === true);
    });
}

function removeMemberCommand(output: Output): Command {
  return simple("remove-member", "remove a user from every team and every role of an organization and its channels")
    .argument("<user>", "name of the user")
    .action(async (name: string, user: string, _: unknown, command: Command) => {
      await withManagement(command, ({ organizations }) => organizations.removeMember(COMMAND_LINE, name, user));
      output.note(`${user} has left ${name}.`);
    });
}

function simple(name: string, description: string): Command {
  return withSettings(new Command(name), PLACE).description(description).argument("<name>", "name of the organization");
}

function withChanges(command: Command): Command {
  const visibility = new Option(
    "--visibility <visibility>",
    "who can see it and at most its channels; limited is internal",
  );
  return command
    .option("--display-name <text>", "name for people")
    .option("--description <text>", "what the organization is")
    .addOption(visibility.choices(Object.keys(VISIBILITY)));
}

function changeOf({ displayName, description, visibility }: ChangeOptions): OrganizationChange {
  return { displayName, description, visibility: visibility && VISIBILITY[visibility] };
}

function shown({ name, displayName, description, visibility, created }: OrganizationInfo) {
  const texts = { displayName: orNull(displayName), description: orNull(description) };
  return { name, ...texts, visibility, created: when(created) };
}
