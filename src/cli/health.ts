// condarium health

import { Command, InvalidArgumentError } from "commander";
import { localUrl } from "./local-url.ts";
import { configOf, withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";

const TIMEOUT_MS = 5000;

export function healthCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("health"), ["listen"])
    .description("check that a server is ready; exit code 1 when it is not")
    .option("--url <url>", "base URL of the server (default: the address of --listen)", baseUrl)
    .action(async (options: { url?: string }, command: Command) => {
      const url = `${options.url ?? localUrl(configOf(command).config.listen).url}/health/ready`;
      const why = await problemOf(url);
      if (why === undefined) return output.line("ok");
      output.note(`${url}: ${why}`);
      result.code = EXIT.failed;
    });
}

function baseUrl(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new InvalidArgumentError("It must be an http or https URL, for example http://127.0.0.1:8080.");
  return text.replace(/\/+$/, "");
}

async function problemOf(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.ok ? undefined : `responded with status ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : "no response";
  }
}
