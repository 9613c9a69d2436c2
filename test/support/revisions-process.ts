// A process with eight writers, each of which makes a number of revisions of a channel.

import { bumpRevision } from "../../src/models/channel.ts";
import { databaseOf, openDatabase } from "../../src/models/open-database.ts";
import { systemClock } from "../../src/modules/clock.ts";

const [id = 0, rounds = 0] = process.argv.slice(2).map(Number);
const database = await openDatabase(databaseOf(""), { clock: systemClock, create: true });
const values = () => ({ channelId: id, identity: crypto.randomUUID(), at: Date.now(), actorId: null });
await Promise.all(
  Array.from({ length: 8 }, async () => {
    for (let round = 0; round < rounds; round++)
      await database.transact((tx) => bumpRevision(tx, values()), { channels: [id] });
  }),
);
await database.close();
