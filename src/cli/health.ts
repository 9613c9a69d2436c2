// condarium health

import { Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { localUrl } from "./local-url.ts";
import { configOf, withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";

const TIMEOUT_MS = 5000;
const LONGEST_TEXT = 16 * 1024;
const notReady = z.object({
  problems: z
    .array(z.object({ part: z.string(), detail: z.string() }))
    .min(1)
    .max(20),
});

export function healthCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("health"), ["listen"])
    .description("check that a server is ready; exit code 1 when it is not")
    .option("--url <url>", "base URL of the server (default: the address of --listen)", baseUrl)
    .action(async (options: { url?: string }, command: Command) => {
      const url = `${options.url ?? localUrl(configOf(command).config.listen).url}/health/ready`;
      const problems = await problemsOf(url);
      if (problems.length === 0) return output.line("ok");
      for (const problem of problems) output.note(`${url}: ${problem}`);
      result.code = EXIT.failed;
    });
}

function baseUrl(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new InvalidArgumentError("It must be an http or https URL, for example http://127.0.0.1:8080.");
  return text.replace(/\/+$/, "");
}

async function problemsOf(url: string): Promise<string[]> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return [];
    const reported = notReady.safeParse(parsed((await response.text()).slice(0, LONGEST_TEXT)));
    if (!reported.success) return [`responded with status ${response.status}`];
    return reported.data.problems.map(({ part, detail }) => printable(`not ready: ${part}: ${detail}`));
  } catch (error) {
    return [error instanceof Error ? error.message : "no response"];
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Another program may have responded: its text must not control the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, " ").slice(0, 500);
}
