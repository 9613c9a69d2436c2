// Changes the state of a stored file, by the services and on a separate connection, as commands do.

import { findChannel } from "../../src/models/channel.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { findOwner } from "../../src/models/owner.ts";
import { findFile, type FileState } from "../../src/models/package-file.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { DEFAULT_TYPE } from "../../src/services/channel-ref.ts";
import { changeQuarantine } from "../../src/services/file-quarantine.ts";
import { createPackages } from "../../src/services/packages.ts";
import type { TestApp } from "./app.ts";
import { sourceOf } from "./rows.ts";

/** `path` is `owner/channel/section/file`. */
export async function setState(server: TestApp, path: string, state: FileState): Promise<void> {
  const [owner = "", channel = "", section = "", fileName = ""] = path.split("/");
  const database = await openDatabase(sourceOf(server.folder), { clock: systemClock, create: false });
  try {
    await database.transact(async (tx) => {
      const ownerRow = await findOwner(tx, owner);
      const row = ownerRow && (await findChannel(tx, ownerRow.id, DEFAULT_TYPE, channel));
      if (!ownerRow || !row) throw new Error(`there is no channel ${owner}/${channel}`);
      const to = { owner: ownerRow, channel: row };
      const file = await findFile(tx, { channelId: row.id, section, fileName });
      if (!file) throw new Error(`there is no file ${path}`);
      if (state === "quarantined" || (state === "active" && file.state === "quarantined")) {
        const change =
          state === "active"
            ? ({ kind: "release" } as const)
            : ({ kind: "quarantine", reason: "a test", scope: "server" } as const);
        await changeQuarantine(tx, { to, ids: [file.id], change, actor: COMMAND_LINE, at: systemClock.now() });
        return;
      }
      const packages = createPackages({ clock: systemClock });
      await packages.setState(tx, { ...to, section, fileName }, state, COMMAND_LINE, "a test");
    });
  } finally {
    await database.close();
  }
}
