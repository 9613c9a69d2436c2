// condarium user create | list | disable | enable | hide | unhide | unlock | reset-two-factor | set-password | rename | delete

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import { withManagement, secretFromInput } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";

const PASSWORD_STDIN = "read the password from standard input instead of generating one";

type PasswordOptions = { readonly passwordStdin?: boolean };

export function userCommand(output: Output): Command {
  const user = new Command("user").description("manage users");
  user.addCommand(createCommand(output));
  user.addCommand(listCommand(output));
  user.addCommand(
    simple("disable", "reject a user's logins and tokens; the user's channels stay readable", async (name, command) => {
      await withManagement(command, ({ users }) => users.setDisabled(COMMAND_LINE, name, true));
      output.note(`User ${name} disabled.`);
    }),
  );
  user.addCommand(
    simple("enable", "accept the logins and tokens of a disabled user again", async (name, command) => {
      await withManagement(command, ({ users }) => users.setDisabled(COMMAND_LINE, name, false));
      output.note(`User ${name} enabled.`);
    }),
  );
  user.addCommand(
    simple("hide", "hide a user's channels from everyone except administrators", async (name, command) => {
      await withManagement(command, ({ users }) => users.setHidden(COMMAND_LINE, name, true));
      output.note(`Channels of ${name} hidden.`);
    }),
  );
  user.addCommand(
    simple("unhide", "show the channels of a hidden user again", async (name, command) => {
      await withManagement(command, ({ users }) => users.setHidden(COMMAND_LINE, name, false));
      output.note(`Channels of ${name} no longer hidden.`);
    }),
  );
  user.addCommand(
    simple("unlock", "forget a user's failed logins; the next login is accepted again", async (name, command) => {
      await withManagement(command, ({ users }) => users.unlock(COMMAND_LINE, name));
      output.note(`Failed logins of ${name} forgotten. A limit of one network for all accounts still applies.`);
    }),
  );
  user.addCommand(
    simple(
      "reset-two-factor",
      "turn two-factor authentication off; the password alone is accepted again",
      async (name, command) => {
        await withManagement(command, ({ twoFactor }) => twoFactor.reset(COMMAND_LINE, name));
        output.note(`Two-factor authentication of ${name} is off. Tokens are still valid.`);
      },
    ),
  );
  user.addCommand(setPasswordCommand(output));
  user.addCommand(renameCommand(output));
  user.addCommand(
    simple("delete", "delete a user without channels", async (name, command) => {
      await withManagement(command, ({ users }) => users.remove(COMMAND_LINE, name));
      output.note(`User ${name} deleted.`);
    }),
  );
  return user;
}

function createCommand(output: Output): Command {
  return withSettings(new Command("create"), [...PLACE, "default-visibility", "public-url", "name-hold-days"])
    .description("create a user and print a generated password")
    .argument("<name>", "1 to 63 characters: a-z, 0-9, dot, dash and underscore")
    .option("--admin", "make the user an administrator")
    .option("--password-stdin", PASSWORD_STDIN)
    .action(async (name: string, options: PasswordOptions & { admin?: boolean }, command: Command) => {
      const { password, generated } = await passwordOf(options);
      const user = { name, password, isAdmin: options.admin === true };
      await withManagement(command, ({ users }) => users.create(COMMAND_LINE, user));
      output.note(`User ${name} created.`);
      if (generated) output.line(password);
    });
}

function renameCommand(output: Output): Command {
  return withSettings(new Command("rename"), [...PLACE, "public-url", "name-hold-days"])
    .description("rename a user; addresses and logins with the old name stop working")
    .argument("<name>", "name of the user")
    .argument("<new-name>", "1 to 63 characters: a-z, 0-9, dot, dash and underscore")
    .action(async (name: string, newName: string, _: unknown, command: Command) => {
      const to = await withManagement(command, ({ users }) => users.rename(COMMAND_LINE, name, newName));
      output.note(`User ${name} is now ${to}. Tokens limited to channels of ${name} must be made again.`);
    });
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), PLACE)
    .description("list users")
    .option("--json", "print JSON")
    .action(async (options: { json?: boolean }, command: Command) => {
      const users = await withManagement(command, (management) => management.users.list(COMMAND_LINE));
      const rows = users.map((user) => ({ ...user, created: when(user.created) }));
      output.rows(rows, options.json === true);
    });
}

function setPasswordCommand(output: Output): Command {
  return simple(
    "set-password",
    "set a new password, by default a generated one; invalidates the user's tokens",
    async (name, command) => {
      const { password, generated } = await passwordOf(command.opts());
      await withManagement(command, ({ users }) => users.setPassword(COMMAND_LINE, name, password));
      output.note(`Password of ${name} set. Older tokens are no longer valid.`);
      if (generated) output.line(password);
    },
  ).option("--password-stdin", PASSWORD_STDIN);
}

function simple(name: string, description: string, act: (name: string, command: Command) => Promise<void>): Command {
  return withSettings(new Command(name), PLACE)
    .description(description)
    .argument("<name>", "name of the user")
    .action((user: string, _: unknown, command: Command) => act(user, command));
}

async function passwordOf(options: PasswordOptions): Promise<{ password: string; generated: boolean }> {
  if (options.passwordStdin === true) return { password: await secretFromInput(), generated: false };
  const { createPassword } = await import("../modules/ids.ts");
  return { password: createPassword(), generated: true };
}
