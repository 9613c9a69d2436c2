// condarium robot create | list | delete | token

import { Command } from "commander";
import { usage } from "../errors.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";
import { tokenCreation } from "./token.ts";

export function robotCommand(output: Output): Command {
  return new Command("robot")
    .description("manage the robots of organizations: accounts for automatic jobs, which only have tokens")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(deleteCommand(output))
    .addCommand(tokenCreation(output, "token", "robot"));
}

function createCommand(output: Output): Command {
  return simple("create", "create a robot without rights and tokens").action(
    async (text: string, _: unknown, command: Command) => {
      const { organization, robot } = parseRobot(text);
      await withManagement(command, ({ robots }) => robots.create(COMMAND_LINE, organization, robot));
      output.note(
        `Robot ${text} created. It gets rights by a team (condarium team add) or a role (condarium channel grant), ` +
          `and a token by: condarium robot token ${text} --name NAME`,
      );
    },
  );
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), PLACE)
    .description("list the robots of an organization; condarium token list shows the tokens of one")
    .argument("<organization>", "name of the organization")
    .option("--json", "print JSON")
    .action(async (organization: string, options: { json?: boolean }, command: Command) => {
      const rows = await withManagement(command, ({ robots }) => robots.list(COMMAND_LINE, organization));
      output.rows(
        rows.map(({ account, created }) => ({ robot: account, created: when(created) })),
        options.json === true,
      );
    });
}

function deleteCommand(output: Output): Command {
  return simple("delete", "delete a robot with its tokens, places and roles").action(
    async (text: string, _: unknown, command: Command) => {
      const { organization, robot } = parseRobot(text);
      await withManagement(command, ({ robots }) => robots.remove(COMMAND_LINE, organization, robot));
      output.note(`Robot ${text} deleted.`);
    },
  );
}

function simple(name: string, description: string): Command {
  return withSettings(new Command(name), PLACE).description(description).argument("<robot>", "ORGANIZATION/ROBOT");
}

/** Errors: `usage`. */
function parseRobot(text: string): { readonly organization: string; readonly robot: string } {
  const [organization = "", robot = "", ...more] = text.split("/");
  if (organization === "" || robot === "" || more.length > 0)
    throw usage(`${text} is not a robot. Write ORGANIZATION/ROBOT.`);
  return { organization, robot };
}
