// condarium user create | list | disable | enable | hide | unhide | set-password | delete

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import { withManagement, secretFromInput } from "./management.ts";
import { withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";

type PasswordOptions = { readonly passwordStdin?: boolean };

export function userCommand(output: Output): Command {
  const user = new Command("user").description("manage the people who sign in");
  user.addCommand(createCommand(output));
  user.addCommand(listCommand(output));
  user.addCommand(
    simple(
      "disable",
      "refuse a user's logins and tokens; what the user has can still be read",
      async (name, command) => {
        await withManagement(command, ({ users }) => users.setDisabled(COMMAND_LINE, name, true));
        output.note(`${name} is disabled.`);
      },
    ),
  );
  user.addCommand(
    simple("enable", "let a disabled user in again", async (name, command) => {
      await withManagement(command, ({ users }) => users.setDisabled(COMMAND_LINE, name, false));
      output.note(`${name} is enabled.`);
    }),
  );
  user.addCommand(
    simple("hide", "let nobody but administrators read what a user has", async (name, command) => {
      await withManagement(command, ({ users }) => users.setHidden(COMMAND_LINE, name, true));
      output.note(`What ${name} has is hidden.`);
    }),
  );
  user.addCommand(
    simple("unhide", "let what a hidden user has be read again", async (name, command) => {
      await withManagement(command, ({ users }) => users.setHidden(COMMAND_LINE, name, false));
      output.note(`What ${name} has can be read again.`);
    }),
  );
  user.addCommand(setPasswordCommand(output));
  user.addCommand(
    simple("delete", "delete a user who has no channels left", async (name, command) => {
      await withManagement(command, ({ users }) => users.remove(COMMAND_LINE, name));
      output.note(`${name} is deleted.`);
    }),
  );
  return user;
}

function createCommand(output: Output): Command {
  return withSettings(new Command("create"), ["data", "default-visibility"])
    .description("create a user; prints a generated password unless one is given")
    .argument("<name>", "1 to 63 of a-z, 0-9, dot, dash and underscore")
    .option("--admin", "make an administrator")
    .option("--password-stdin", "take the password from standard input")
    .action(async (name: string, options: PasswordOptions & { admin?: boolean }, command: Command) => {
      const { password, generated } = await passwordOf(options);
      const user = { name, password, isAdmin: options.admin === true };
      await withManagement(command, ({ users }) => users.create(COMMAND_LINE, user));
      output.note(`${name} is created.`);
      if (generated) output.line(password);
    });
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), ["data"])
    .description("list the users")
    .option("--json", "print JSON")
    .action(async (options: { json?: boolean }, command: Command) => {
      const users = await withManagement(command, (management) => management.users.list(COMMAND_LINE));
      const rows = users.map((user) => ({ ...user, created: when(user.created) }));
      output.rows(rows, options.json === true);
    });
}

function setPasswordCommand(output: Output): Command {
  return simple("set-password", "set a new password; ends the user's tokens too", async (name, command) => {
    const { password, generated } = await passwordOf(command.opts());
    await withManagement(command, ({ users }) => users.setPassword(COMMAND_LINE, name, password));
    output.note(`The password of ${name} is set; tokens made before are no longer valid.`);
    if (generated) output.line(password);
  }).option("--password-stdin", "take the password from standard input");
}

function simple(name: string, description: string, act: (name: string, command: Command) => Promise<void>): Command {
  return withSettings(new Command(name), ["data"])
    .description(description)
    .argument("<name>", "the user")
    .action((user: string, _: unknown, command: Command) => act(user, command));
}

async function passwordOf(options: PasswordOptions): Promise<{ password: string; generated: boolean }> {
  if (options.passwordStdin === true) return { password: await secretFromInput(), generated: false };
  const { createPassword } = await import("../modules/ids.ts");
  return { password: createPassword(), generated: true };
}
