// The tables of this process's engine. Queries are typed for SQLite; a test compares both schemas.

import { engine } from "./engine.ts";
import * as postgres from "./postgres.ts";
import * as sqlite from "./sqlite.ts";

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- both have the same tables and columns
const tables = (engine === "postgres" ? postgres : sqlite) as typeof sqlite;

export const {
  owner,
  principal,
  user,
  secondFactor,
  recoveryCode,
  channel,
  channelRevision,
  pkg,
  packageVersion,
  packageBlob,
  blobDeletion,
  storedTotal,
  store,
  packageFile,
  packageProperty,
  indexPart,
  fileNameHistory,
  accessToken,
  roleGrant,
  team,
  teamMember,
  heldName,
  channelOffer,
  formerAddress,
  loginFailure,
  lease,
  auditEvent,
} = tables;
