// The services that manage people, channels and the stores: for the commands, and for the API.

import { version } from "../package.json";
import { reservedOwner, type Config } from "./config.ts";
import { databaseOf, openSnapshots } from "./models/open-database.ts";
import type { Clock } from "./modules/clock.ts";
import { createDerivedFiles } from "./modules/storage/derived-files.ts";
import { PACKAGE_TYPES } from "./package-types.ts";
import { createAccess, type Access } from "./services/access.ts";
import { createChannels, type Channels } from "./services/channels.ts";
import { condaIndex } from "./services/conda/index-format.ts";
import { createGrants, type Grants } from "./services/grants.ts";
import { createOrganizations, type Organizations } from "./services/organizations.ts";
import { createOwnerNames, type OwnerNames } from "./services/owner-names.ts";
import { createTransfers, type Transfers } from "./services/transfers.ts";
import { createVersions, type Versions } from "./services/versions.ts";
import { createRobots, type Robots } from "./services/robots.ts";
import { createTeams, type Teams } from "./services/teams.ts";
import { createLoginCodes } from "./services/login-codes.ts";
import { createBackup, type Backup } from "./services/storage/backup.ts";
import { createGc, type Gc } from "./services/storage/gc.ts";
import { createDeepVerify } from "./services/index/repair/verify.ts";
import { createReindex, type Reindex } from "./services/index/repair/reindex.ts";
import { createProfiles, type Profiles } from "./services/profiles.ts";
import { createQuarantines, type Quarantines } from "./services/quarantine.ts";
import { createAuditTrail, type AuditTrail } from "./services/audit-trail.ts";
import { type Throttle } from "./services/throttle.ts";
import { createLeakedTokens, type LeakedTokens } from "./services/leaked-tokens.ts";
import { createTokens, type Tokens } from "./services/tokens.ts";
import { createTwoFactor, type TwoFactor } from "./services/two-factor.ts";
import { createUsers, type Users } from "./services/users.ts";
import { createVerify, type Verify } from "./services/storage/verify.ts";
import { type Stores } from "./stores.ts";

/** Services of the management commands, which run beside a server: same data, no lock, one short transaction each. */
export type Management = {
  readonly users: Users;
  readonly profiles: Profiles;
  readonly twoFactor: TwoFactor;
  readonly tokens: Tokens;
  readonly leakedTokens: LeakedTokens;
  readonly channels: Channels;
  readonly grants: Grants;
  readonly organizations: Organizations;
  readonly teams: Teams;
  readonly robots: Robots;
  readonly transfers: Transfers;
  readonly versions: Versions;
  readonly names: OwnerNames;
  readonly auditTrail: AuditTrail;
  readonly quarantines: Quarantines;
  readonly verify: Verify;
  readonly reindex: Reindex;
  readonly gc: Gc;
  readonly backup: Backup;
  close(): Promise<void>;
};

export type ManagementParts = {
  readonly config: Config;
  readonly publicUrl: string | undefined;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly throttle: Throttle;
  readonly failpoint: ((name: string) => void) | undefined;
};

const DAY_MS = 24 * 60 * 60 * 1000;

export function managementOf(parts: ManagementParts): Omit<Management, "close"> {
  const access = accessOf(parts.config, { ...parts.stores, clock: parts.clock });
  return { ...peopleOf(parts, access), ...storageOf(parts) };
}

function peopleOf({ config, publicUrl, stores: { database }, clock, throttle }: ManagementParts, access: Access) {
  const types = PACKAGE_TYPES;
  const channels = createChannels({ database, access, clock, types });
  const owners = {
    database,
    access,
    clock,
    types,
    defaultVisibility: config["default-visibility"],
    reservedOwner: publicUrl === undefined ? undefined : reservedOwner(publicUrl),
    holdMs: config["name-hold-days"] * DAY_MS,
  };
  const codes = createLoginCodes({ database, throttle, clock });
  const issuer = publicUrl === undefined ? "condarium" : new URL(publicUrl).hostname;
  return {
    users: createUsers({ ...owners, channels }),
    organizations: createOrganizations(owners),
    names: createOwnerNames(owners),
    teams: createTeams({ database, access, clock, types }),
    robots: createRobots({ database, access, clock }),
    transfers: createTransfers({ database, access, clock }),
    versions: createVersions({ database, access, clock }),
    twoFactor: createTwoFactor({ database, access, clock, codes, issuer }),
    leakedTokens: createLeakedTokens({ database, access, clock }),
    tokens: createTokens({ database, access, clock, types }),
    profiles: createProfiles({ database, access }),
    channels,
    grants: createGrants({ database, access, channels, clock }),
    auditTrail: createAuditTrail({ database, access, clock }),
    quarantines: createQuarantines({ database, access, clock }),
  };
}

function storageOf({ config, stores, clock, failpoint }: ManagementParts) {
  const { database, blobs, folder, reserve } = stores;
  const types = PACKAGE_TYPES;
  const source = databaseOf(folder.database, config.database);
  const index = {
    database,
    blobs,
    clock,
    files: createDerivedFiles(folder.root),
    folder,
    openSnapshots: () => openSnapshots(source),
    format: condaIndex,
    types,
  };
  const graceMs = config["gc-grace"] * 1000;
  const isShared = config.database !== undefined;
  return {
    verify: createVerify({ database, blobs, clock, types, graceMs, folder, deep: createDeepVerify(index) }),
    reindex: createReindex(index),
    backup: createBackup({ database, source, blobs, clock, version, failpoint, folder }),
    gc: createGc({ database, blobs, clock, reserve, failpoint, folder, codec: condaIndex.codec, isShared }),
  };
}

export function accessOf(
  config: Config,
  { database, clock }: Pick<Stores, "database"> & { readonly clock: Clock },
): Access {
  return createAccess({
    reader: database.read,
    clock,
    createChannels: config["create-channels"],
    twoFactor: config["require-two-factor"],
    formerAddressMs: config["transfer-redirect-days"] * DAY_MS,
  });
}
