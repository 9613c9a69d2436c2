// condarium complete: prints the completion script of a shell, and completes a line for it.

import { script } from "@bomb.sh/tab";
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { everyCommand } from "./help.ts";
import { offerChoices } from "./options.ts";
import type { Output } from "./output.ts";

const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
type Shell = (typeof SHELLS)[number];

/**
 * The script for bash calls this function of the package bash-completion, which many systems lack. This replacement
 * does not join words that bash splits at `=` and `:`.
 */
const BASH_WORDS = `# Without the package bash-completion, this is enough.
declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
    words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
    cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
}
`;

/** Adds the command; `args` are those of the command line. */
export function addCompletion(program: Command, output: Output, args: readonly string[]): void {
  if (args[0] === "complete") everyCommand(program).forEach(offerChoices);
  tab(program);
  const complete = program.commands.find((command) => command.name() === "complete");
  complete?.description("print a shell completion script");
  const shell = SHELLS.find((name) => name === args[1]);
  if (shell) complete?.action(() => output.line(scriptOf(shell, program.name())));
}

/** The script of `@bomb.sh/tab`, with its mistakes corrected. */
function scriptOf(shell: Shell, name: string): string {
  const text = printed(() => script(shell, name, name));
  // Scripts of other programs define the same constants, and a script can be read twice.
  if (shell === "bash") return BASH_WORDS + text.replaceAll(/^(readonly ShellComp\w+=\d+)$/gm, "$1 2>/dev/null");
  // zsh takes what follows a colon as the description, so a colon of a value needs a backslash: read:package.
  if (shell === "zsh") return text.replace(String.raw`comp=${"$"}{comp//:/\:}`, String.raw`comp=${"$"}{comp//:/\\:}`);
  return text;
}

/** What `work` writes with `console.log`: the library returns no text. */
function printed(work: () => void): string {
  const lines: string[] = [];
  const { log } = console;
  console.log = (text: unknown) => void lines.push(String(text));
  try {
    work();
  } finally {
    console.log = log;
  }
  return lines.join("\n");
}
