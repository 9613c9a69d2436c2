// condarium token find

import { Command } from "commander";
import type { Management } from "../management.ts";
import { usage } from "../errors.ts";
import { TOKEN_LENGTH, TOKEN_PATTERN, tokensIn } from "../modules/ids.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import type { LeakedToken } from "../services/leaked-tokens.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";

/** Different tokens of one run. */
const MOST_TOKENS = 10_000;

const DESCRIPTION =
  "find access tokens in files or on standard input, and print whose they are; exits with 1 when one of them works";
const HELP = `
A token matches ${TOKEN_PATTERN}. Its last 6 characters are the CRC-32 of the others, in base 62 with
the digits 0-9A-Za-z, so a secret scanner recognizes it without asking the server. Tokens are printed without
their secret: only their last 8 characters are.`;

type FindOptions = { readonly revoke?: boolean; readonly json?: boolean };
/** Where a token was first seen. */
type Sighting = { readonly token: string; readonly file: string; readonly line: number };

export function findCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("find"), PLACE)
    .description(DESCRIPTION)
    .argument("[file...]", "files to read; without one, standard input")
    .option("--revoke", "revoke the tokens that are found")
    .option("--json", "print JSON")
    .addHelpText("after", HELP)
    .action(async (files: readonly string[], options: FindOptions, command: Command) => {
      const sightings = await allSightings(files);
      const rows = await withManagement(command, async (management) => {
        const found: object[] = [];
        for (const sighting of sightings) {
          const { row, isWorking } = await handle(management, sighting, options.revoke === true);
          found.push(row);
          if (isWorking) result.code = EXIT.failed;
        }
        return found;
      });
      output.rows(
        rows.map((row) => ({ ...row })),
        options.json === true,
      );
    });
}

async function handle(
  { leakedTokens, tokens }: Management,
  { token, file, line }: Sighting,
  revoke: boolean,
): Promise<{ readonly row: object; readonly isWorking: boolean }> {
  const known: LeakedToken | undefined = await leakedTokens.identify(COMMAND_LINE, token);
  const place = { file, line, ends: token.slice(-8) };
  if (!known) return { row: { ...place, user: null, name: null, state: "unknown" }, isWorking: false };
  const { id, user, name, state } = known;
  const isEnded = revoke && state !== "revoked";
  if (isEnded) await tokens.revoke(COMMAND_LINE, user, String(id), { orId: true });
  return {
    row: { ...place, user, name, state: isEnded ? "revoked" : state },
    isWorking: state === "valid" && !isEnded,
  };
}

async function allSightings(files: readonly string[]): Promise<Sighting[]> {
  const seen = new Map<string, Sighting>();
  const sources =
    files.length === 0 ? [["-", Bun.stdin] as const] : files.map((file) => [file, Bun.file(file)] as const);
  for (const [file, source] of sources) {
    for await (const { token, line } of sightingsIn(source.stream())) {
      if (!seen.has(token)) seen.set(token, { token, file, line });
      if (seen.size > MOST_TOKENS)
        throw usage(`There are more than ${MOST_TOKENS} tokens. Search fewer files at once.`);
    }
  }
  return [...seen.values()];
}

/** A token at the border of two chunks is found with the second one; one within the overlap is found twice. */
export async function* sightingsIn(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly token: string; readonly line: number }> {
  let text = "";
  let line = 1;
  for await (const chunk of chunks) {
    text += Buffer.from(chunk).toString("latin1");
    for (const { token, at } of tokensIn(text)) yield { token, line: line + linesIn(text.slice(0, at)) };
    const kept = text.slice(-TOKEN_LENGTH);
    line += linesIn(text.slice(0, text.length - kept.length));
    text = kept;
  }
}

function linesIn(text: string): number {
  return text.split("\n").length - 1;
}
