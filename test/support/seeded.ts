// The services that make the users and channels of a database without a server.

import type { Database } from "../../src/models/database.ts";
import type { Clock } from "../../src/modules/clock.ts";
import { PACKAGE_TYPES } from "../../src/package-types.ts";
import { createAccess } from "../../src/services/access.ts";
import { createChannels, type Channels } from "../../src/services/channels.ts";
import { createUsers, type Users } from "../../src/services/users.ts";

export function seedingServices(database: Database, clock: Clock): { channels: Channels; users: Users } {
  const rules = { reader: database.read, clock, createChannels: true, twoFactor: "no", formerAddressMs: 0 } as const;
  const access = createAccess(rules);
  const parts = { database, access, clock, types: PACKAGE_TYPES };
  const channels = createChannels(parts);
  return { channels, users: createUsers({ ...parts, channels, defaultVisibility: "public", holdMs: 0 }) };
}
