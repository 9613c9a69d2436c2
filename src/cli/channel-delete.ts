// condarium channel delete

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import type { ChannelContents, ContentTotals } from "../services/channel-removal.ts";
import { parseOneChannel, withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

/** `channelHelp` describes how a channel is written. */
export function deleteCommand(output: Output, result: { code: number }, channelHelp: string): Command {
  return withSettings(new Command("delete"), PLACE)
    .description("delete a channel with everything in it; --yes is required if it has files")
    .argument("<channel>", channelHelp)
    .option("--yes", "delete a channel that has files")
    .action(async (channel: string, { yes = false }: { readonly yes?: boolean }, self: Command) => {
      const name = parseOneChannel(channel);
      const bar = createProgressBar();
      const { contents, deleted } = await withManagement(self, async ({ channels }) => {
        const before = await channels.contents(COMMAND_LINE, name);
        if (before.files > 0 && !yes) return { contents: before, deleted: undefined };
        const options = { withFiles: yes, onProgress: bar.update };
        return { contents: before, deleted: await channels.remove(COMMAND_LINE, name, options) };
      }).finally(bar.stop);
      if (deleted) output.note(`Channel ${channel} deleted${deleted.files > 0 ? `: ${sizeOf(deleted)}` : ""}.`);
      else {
        output.note(`${channel} has ${sizeOf(contents)}. Nothing was deleted.`);
        for (const line of consequencesOf(contents)) output.note(line);
        output.note(`To delete it: condarium channel delete ${channel} --yes${settingsOf(self)}`);
        result.code = EXIT.usage;
      }
    });
}

function sizeOf({ files, packages, bytes }: ContentTotals): string {
  return `${files} files of ${packages} packages, ${bytes} bytes`;
}

function consequencesOf({ roles, tokens }: ChannelContents): string[] {
  const lines = [
    `To be deleted: the channel with its settings, its files, and the roles of ${roles} users on it.`,
    "Not deleted: files that other channels have too, the history of file names, and the audit trail.",
    "condarium gc frees the space of the files once they have been unused for the time of the setting gc-grace.",
  ];
  if (tokens.length === 0) return lines;
  const some = tokens.slice(0, 10).map(({ user, name }) => `${name} of ${user}`);
  const names = `${some.join(", ")}${tokens.length > some.length ? ", ..." : ""}`;
  return [...lines, `${tokens.length} tokens stay valid for a new channel of this name until revoked: ${names}.`];
}

/** The settings of a command as it was typed, for a shell. */
function settingsOf(self: Command): string {
  const options: Readonly<Record<string, unknown>> = self.opts();
  return ["data", "config"]
    .map((name) => ({ name, value: options[name] }))
    .map(({ name, value }) => (typeof value === "string" ? ` --${name} ${shellWord(value)}` : ""))
    .join("");
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
