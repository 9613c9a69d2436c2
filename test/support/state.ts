// Changes the state of a stored file, by the service and on a separate connection, as commands do.

import { findChannel } from "../../src/models/channel.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { findOwner } from "../../src/models/owner.ts";
import type { FileState } from "../../src/models/package-file.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { DEFAULT_TYPE } from "../../src/services/channel-ref.ts";
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
      const packages = createPackages({ clock: systemClock });
      await packages.setState(tx, { owner: ownerRow, channel: row, section, fileName }, state, COMMAND_LINE, "a test");
    });
  } finally {
    await database.close();
  }
}
