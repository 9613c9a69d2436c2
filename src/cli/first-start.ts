// What a starting server tells its administrator.

import type { App } from "../app.ts";
import type { Config } from "../config.ts";
import { AppError } from "../errors.ts";
import type { Logger } from "../modules/log.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import type { Output } from "./output.ts";
import type { RunningServer } from "./server.ts";

export function warnOfLinks(
  { publicUrl, address }: Pick<RunningServer, "publicUrl" | "address">,
  log: Logger,
  output: Output,
): void {
  const port = address.slice(address.lastIndexOf(":"));
  const text =
    `Links begin with ${publicUrl}, which is wrong on other machines, until public-url is set. ` +
    `Set it to the URL that clients use, for example --public-url http://conda.example.com${port}.`;
  log.warn({ event: "public-url-missing" }, text);
  output.line(text);
}

/** Creates the administrator of an empty server and prints the first steps. The password is shown only this once. */
export async function firstStart(
  users: App["users"],
  publicUrl: string,
  config: Config,
  output: Output,
): Promise<void> {
  if (!(await users.isEmpty())) return;
  const [{ createPassword }, { PACKAGE_TYPES }] = await Promise.all([
    import("../modules/ids.ts"),
    import("../package-types.ts"),
  ]);
  const password = createPassword();
  try {
    await users.create(COMMAND_LINE, { name: "admin", password, isAdmin: true });
  } catch (error) {
    // Another node on the same database can be faster: it has printed the password.
    if (error instanceof AppError && error.code === "conflict" && !(await users.isEmpty())) return;
    throw error;
  }
  const hints = PACKAGE_TYPES.all.flatMap((type) => type.hints({ publicUrl, owner: "admin", channel: "main" }));
  output.line("This is the first start: created an administrator.");
  output.line(`  user:     admin\n  password: ${password}`);
  output.line(
    `Store the password: it is not shown again. New channels are ${config["default-visibility"]}. First steps:`,
  );
  for (const hint of hints) output.line(`  ${hint}`);
}
