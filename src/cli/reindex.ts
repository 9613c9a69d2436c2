// condarium reindex

import { Command } from "commander";
import type { ReindexedDocument } from "../services/index/repair/reindex.ts";
import { parseOneChannel, withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

export function reindexCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("reindex"), ["data"])
    .description(
      "make every document from nothing and mend what is stored otherwise; safe beside a running server; exit code 1 when something was mended",
    )
    .argument("[channel]", "only this one; owner/channel, or owner/- for the owner's unnamed channel")
    .option("--json", "print each document as a line of JSON")
    .action(async (name: string | undefined, options: { readonly json?: boolean }, command: Command) => {
      const bar = createProgressBar();
      const channel = name === undefined ? undefined : parseOneChannel(name);
      const onDocument = (document: ReindexedDocument): void => {
        bar.stop();
        output.line(options.json === true ? JSON.stringify(document) : lineOf(document));
      };
      const onProgress = (done: number, total: number): void => bar.update(done, total, "documents");
      const summary = await withManagement(command, ({ reindex }) =>
        reindex({ channel, onDocument, onProgress }),
      ).finally(bar.stop);
      output.note(
        `${summary.documents} documents, ${summary.mended === 0 ? "no byte changed" : `${summary.mended} mended`}.`,
      );
      if (summary.mended > 0) result.code = EXIT.failed;
    });
}

function lineOf({ channel, section, document, result, detail }: ReindexedDocument): string {
  const name = [channel, [section, document].filter((part) => part !== "").join("/")]
    .filter((part) => part !== "")
    .join(" ");
  switch (result) {
    case "same":
      return `${name}: no byte changed`;
    case "unread":
      return `${name}: not made yet, as nobody has asked for it`;
    case "mended":
      return `${name}: mended, ${detail}`;
  }
}
