// condarium quarantine

import { Command, InvalidArgumentError } from "commander";
import { usage } from "../errors.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import type { FileAddress, FileSelector, HeldFile, HeldKey, Quarantines } from "../services/quarantine.ts";
import { parseOneChannel, withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";

type Options = FileSelector & {
  readonly reason?: string;
  readonly release?: boolean;
  readonly list?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
};

export function quarantineCommand(output: Output): Command {
  return withSettings(new Command("quarantine"), PLACE)
    .description("stop every download of files without deleting them, until they are released")
    .argument("[file]", "OWNER/CHANNEL/SUBDIR/FILE; OWNER/-/SUBDIR/FILE in the unnamed channel")
    .option("--reason <text>", "why; everyone who tries to download a file reads it")
    .option("--token <id>", "all that was published with this access token, and the same bytes elsewhere", tokenId)
    .option("--user <name>", "all that this user published, and the same bytes elsewhere")
    .option("--sha256 <hex>", "all files with these bytes")
    .option("--since <time>", "only what was published since, for example 2026-01-31 or 2026-01-31T12:00:00Z", time)
    .option("--release", "release the files instead")
    .option("--list", "list the quarantined files")
    .option("--dry-run", "only count what --token, --user or --sha256 select")
    .option("--json", "print JSON")
    .action(async (file: string | undefined, options: Options, command: Command) => {
      const work = workOf(file, options);
      await withManagement(command, ({ quarantines }) => work(quarantines, output));
    });
}

type Work = (quarantines: Quarantines, output: Output) => Promise<void>;

/** Errors: `usage` for options that contradict each other. */
function workOf(file: string | undefined, options: Options): Work {
  const { token, user, sha256, since, reason, release = false, list = false, dryRun = false, json = false } = options;
  const selectors = [file, token, user, sha256].filter((one) => one !== undefined);
  if (list) {
    if (selectors.length > 0 || release) throw usage("--list lists all quarantined files: name no others.");
    return (quarantines, output) => printAll(quarantines, output, json);
  }
  if (selectors.length !== 1) throw usage("Select the files by one of FILE, --token, --user and --sha256.");
  if (!release && reason === undefined) throw usage("Give the reason of the quarantine with --reason.");
  if (file === undefined) return manyWork({ token, user, sha256, since }, { reason, release, dryRun, json });
  if (since !== undefined || dryRun) throw usage("--since and --dry-run are for --token, --user and --sha256.");
  const address = parseFile(file);
  return async (quarantines, output) => {
    if (release) await quarantines.release(COMMAND_LINE, address);
    else await quarantines.quarantine(COMMAND_LINE, address, reason ?? "");
    output.note(`${file} ${release ? "released" : "quarantined"}.`);
  };
}

function manyWork(
  selector: FileSelector,
  {
    reason = "",
    release,
    dryRun,
    json,
  }: Required<Pick<Options, "release" | "dryRun" | "json">> & { reason?: string | undefined },
): Work {
  return async (quarantines, output) => {
    const changed = release
      ? await quarantines.releaseAll(COMMAND_LINE, selector, { dryRun })
      : await quarantines.quarantineAll(COMMAND_LINE, selector, { reason, dryRun });
    output.rows(changed, json);
    const files = changed.reduce((sum, one) => sum + one.files, 0);
    const done = release ? "released" : "quarantined";
    output.note(`${files} files ${dryRun ? "would be " : ""}${done}.`);
    if (selector.token !== undefined && !release)
      output.note("The token stays valid: revoke it with condarium token revoke.");
  };
}

const PAGE = 500;

async function printAll(quarantines: Quarantines, output: Output, json: boolean): Promise<void> {
  const files: HeldFile[] = [];
  let after: HeldKey | undefined;
  do {
    const { items, next } = await quarantines.list(COMMAND_LINE, { after, limit: PAGE });
    files.push(...items);
    after = next;
  } while (after);
  output.rows(
    files.map((file) => ({ ...file, since: when(file.since) })),
    json,
  );
}

/** The last two parts are the subdir and the file; in an unnamed channel, all parts behind `-` but the last. */
function parseFile(text: string): FileAddress {
  const parts = text.split("/");
  const [fileName = "", owner = ""] = [parts.at(-1), parts[0]];
  const isUnnamed = parts[1] === "-";
  const section = isUnnamed ? parts.slice(2, -1).join("/") : (parts.at(-2) ?? "");
  const channel = isUnnamed ? "-" : parts.slice(1, -2).join("/");
  if (section === "" || fileName === "" || channel === "")
    throw usage(
      `${text} is not a file. Write OWNER/CHANNEL/SUBDIR/FILE, for example alice/main/noarch/tool-1.0-0.conda.`,
    );
  return { channel: parseOneChannel(`${owner}/${channel}`), section, fileName };
}

function tokenId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text))
    throw new InvalidArgumentError("It must be the id of a token, as in condarium token list.");
  return Number(text);
}

function time(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2}))?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidArgumentError("It must be a time such as 2026-01-31T12:00:00Z.");
  return ms;
}
