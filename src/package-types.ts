// The package types of this server, one row each: the description of the type, and its routes on the shared parts.

import type { Config } from "./config.ts";
import type { Events } from "./events.ts";
import type { Database } from "./models/database.ts";
import type { Clock } from "./modules/clock.ts";
import { ARCHIVE_LIMITS } from "./modules/conda/archive.ts";
import { condaRoutes } from "./routers/conda/index.ts";
import { genericRoutes } from "./routers/generic/index.ts";
import type { MountRoutes } from "./routers/request-pipeline.ts";
import type { Access } from "./services/access.ts";
import { findChannelRef, channelExists, type ChannelRef } from "./services/channel-ref.ts";
import { createInspect } from "./services/conda/inspect.ts";
import { createPublish } from "./services/conda/publish.ts";
import { createRemove } from "./services/conda/remove.ts";
import { condaType } from "./services/conda/type.ts";
import { createGenericPublish } from "./services/generic/publish.ts";
import { createGenericRemove } from "./services/generic/remove.ts";
import { genericType } from "./services/generic/type.ts";
import type { Health } from "./services/health.ts";
import { createPackageTypes, type PackageType, type PackageTypes } from "./services/package-type.ts";
import type { Publishing } from "./services/publishing.ts";
import type { Removing } from "./services/removing.ts";
import type { Source } from "./services/sources/source.ts";
import { PATIENCE_MS, type Threads } from "./threads.ts";

/** The shared parts that the routes of every type get. */
export type TypeParts = Pick<Threads, "workers" | "turns"> & {
  readonly config: Config;
  readonly publicUrl: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly events: Events;
  readonly health: Health;
  readonly access: Access;
  readonly publishing: Publishing;
  readonly removing: Removing;
  readonly sourceOf: (ref: ChannelRef) => Source;
};

type Row = { readonly type: PackageType; readonly mount: (parts: TypeParts) => MountRoutes };

const ROWS: readonly Row[] = [
  { type: condaType, mount: mountConda },
  { type: genericType, mount: mountGeneric },
];

export const PACKAGE_TYPES: PackageTypes = createPackageTypes(ROWS.map(({ type }) => type));

export function mountTypes(parts: TypeParts): MountRoutes[] {
  return ROWS.map(({ mount }) => mount(parts));
}

function mountConda(parts: TypeParts): MountRoutes {
  const { config, database, workers, turns, clock, publishing, removing, publicUrl } = parts;
  const limits = { ...ARCHIVE_LIMITS, busyMs: config["inspection-time"] * 1000 };
  const inspect = createInspect({ workers, turns, limits, clock, patienceMs: PATIENCE_MS });
  const conda = {
    ...parts,
    publish: createPublish({ publishing, inspect, publicUrl }),
    remove: createRemove({ removing }),
    channelExists: async (owner: string, name: string) => {
      const ref = await findChannelRef(database.read, owner, name);
      return ref !== undefined && channelExists(ref);
    },
    subdirs: config["known-subdirs"],
    defaultOwner: config["default-owner"],
  };
  return (pipeline, prefix) => condaRoutes(conda, pipeline, prefix);
}

function mountGeneric(parts: TypeParts): MountRoutes {
  const { publishing, removing, publicUrl } = parts;
  const publish = createGenericPublish({ publishing, publicUrl });
  const generic = { ...parts, publish, remove: createGenericRemove({ removing }) };
  return (pipeline, prefix) => genericRoutes(generic, pipeline, prefix);
}
