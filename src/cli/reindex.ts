// condarium reindex

import { Command } from "commander";
import type { ReindexedDocument } from "../services/index/repair/reindex.ts";
import { parseOneChannel, withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { EXIT, orNull, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

export function reindexCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("reindex"), PLACE)
    .description(
      "rebuild every index document and repair what differs; safe beside a running server; exit code 1 after a repair",
    )
    .argument("[channel]", "rebuild only this channel: OWNER/CHANNEL, or OWNER/- for the unnamed channel")
    .option("--json", "print each document as a line of JSON")
    .action(async (name: string | undefined, options: { readonly json?: boolean }, command: Command) => {
      const bar = createProgressBar();
      const channel = name === undefined ? undefined : parseOneChannel(name);
      const onDocument = (document: ReindexedDocument): void => {
        bar.stop();
        output.line(options.json === true ? jsonOf(document) : lineOf(document));
      };
      const onProgress = (done: number, total: number): void => bar.update(done, total, "documents");
      const summary = await withManagement(command, ({ reindex }) =>
        reindex({ channel, onDocument, onProgress }),
      ).finally(bar.stop);
      output.note(
        `${summary.documents} documents, ${summary.mended === 0 ? "all unchanged" : `${summary.mended} repaired`}.`,
      );
      if (summary.mended > 0) result.code = EXIT.failed;
    });
}

/** A document of a whole channel has no section, index.db has no channel either, and what is intact has no detail. */
function jsonOf(document: ReindexedDocument): string {
  const { channel, section, detail } = document;
  return JSON.stringify({ ...document, channel: orNull(channel), section: orNull(section), detail: orNull(detail) });
}

function lineOf({ channel, section, document, result, detail }: ReindexedDocument): string {
  const name = [channel, [section, document].filter((part) => part !== "").join("/")]
    .filter((part) => part !== "")
    .join(" ");
  switch (result) {
    case "same":
      return `${name}: unchanged`;
    case "unread":
      return `${name}: not built yet (never requested)`;
    case "mended":
      return `${name}: repaired, ${detail}`;
  }
}
