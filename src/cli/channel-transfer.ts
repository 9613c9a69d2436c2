// condarium channel transfer

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import { parseOneChannel, withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import type { Output } from "./output.ts";

export function transferCommand(output: Output, channelForm: string): Command {
  return withSettings(new Command("transfer"), PLACE)
    .description("give a channel to another owner, without asking either of them; its former address works for a while")
    .argument("<channel>", channelForm)
    .argument("<new-owner>", "name of a user or organization")
    .action(async (channel: string, newOwner: string, _: unknown, self: Command) => {
      const name = parseOneChannel(channel);
      const label = await withManagement(self, ({ transfers }) => transfers.transfer(COMMAND_LINE, name, newOwner));
      output.note(`Channel ${channel} is now ${label}. Tokens limited to ${channel} must be made again.`);
    });
}
