// condarium health

import { Command } from "commander";
import { splitAddress } from "../config.ts";
import { configOf, withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";

const TIMEOUT_MS = 5000;

export function healthCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("health"), ["listen"])
    .description("ask a running server whether it is ready; exit code 1 when it is not")
    .option("--url <url>", "the server to ask, instead of the one that listens here")
    .action(async (options: { url?: string }, command: Command) => {
      const url = `${options.url?.replace(/\/+$/, "") ?? localUrl(configOf(command).config.listen)}/health/ready`;
      const why = await problemOf(url);
      if (why === undefined) return output.line("ok");
      output.note(`${url}: ${why}`);
      result.code = EXIT.failed;
    });
}

/** A server that listens everywhere is asked on the loopback address. */
function localUrl(listen: string): string {
  const { hostname, port } = splitAddress(listen);
  const everywhere: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" };
  const host = everywhere[hostname] ?? (hostname.includes(":") ? `[${hostname}]` : hostname);
  return `http://${host}:${port}`;
}

async function problemOf(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return response.ok ? undefined : `answered ${response.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : "no answer";
  }
}
