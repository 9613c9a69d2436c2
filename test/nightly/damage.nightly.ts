// Every command on a data folder with every kind of damage to each file and folder.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { CASES, COMMANDS, damageRoom, type DamageRoom } from "../support/damage.ts";

let room: DamageRoom;
beforeAll(async () => {
  room = await damageRoom();
});
afterAll(() => room.close());

test.each(COMMANDS.map((command) => [command.join(" "), command] as const))(
  "%s refuses in one sentence what it cannot use, and then changes nothing",
  async (_, command) => expect(await room.judge(CASES, command)).toEqual([]),
);
