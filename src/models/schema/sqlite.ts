// The tables in SQLite. Times are in ms UTC, keys are never reused, names are compared by bytes.

import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { id } from "./sqlite-columns.ts";
import { owner, principal, user } from "./sqlite-people.ts";

export * from "./sqlite-people.ts";

export const channel = sqliteTable(
  "channel",
  {
    id: id(),
    ownerId: integer("owner_id")
      .notNull()
      .references(() => owner.id, { onDelete: "restrict" }),
    type: text("type").notNull(),
    name: text("name").notNull(),
    visibility: text("visibility", { enum: ["public", "internal", "private"] }),
    revision: integer("revision").notNull().default(0),
    policy: text("policy").notNull().default("{}"),
    description: text("description").notNull().default(""),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("channel_name").on(table.ownerId, table.type, table.name)],
);

export const channelRevision = sqliteTable(
  "channel_revision",
  {
    channelId: integer("channel_id")
      .notNull()
      .references(() => channel.id, { onDelete: "cascade" }),
    revision: integer("revision").notNull(),
    identity: text("identity").notNull(),
    at: integer("at").notNull(),
    actorId: integer("actor_id"),
  },
  (table) => [primaryKey({ columns: [table.channelId, table.revision] })],
);

export const pkg = sqliteTable(
  "package",
  {
    id: id(),
    channelId: integer("channel_id")
      .notNull()
      .references(() => channel.id, { onDelete: "restrict" }),
    name: text("name").notNull(),
    nameFolded: text("name_folded").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("package_name").on(table.channelId, table.nameFolded)],
);

export const packageVersion = sqliteTable(
  "package_version",
  {
    id: id(),
    packageId: integer("package_id")
      .notNull()
      .references(() => pkg.id, { onDelete: "restrict" }),
    version: text("version").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("package_version_version").on(table.packageId, table.version)],
);

export const packageBlob = sqliteTable(
  "package_blob",
  {
    id: id(),
    sha256: text("sha256").notNull(),
    md5: text("md5").notNull(),
    size: integer("size").notNull(),
    created: integer("created").notNull(),
    unreferencedAt: integer("unreferenced_at"),
  },
  (table) => [uniqueIndex("package_blob_sha256").on(table.sha256)],
);

/** One row, which triggers update. */
export const storedTotal = sqliteTable("stored_total", {
  id: integer("id").primaryKey(),
  files: integer("files").notNull(),
  blobs: integer("blobs").notNull(),
  bytes: integer("bytes").notNull(),
});

/** At most one row: the identity that the database shares with the storage of its packages. */

/** Contents whose files may have been deleted. */
export const blobDeletion = sqliteTable("blob_deletion", {
  sha256: text("sha256").primaryKey(),
  at: integer("at").notNull(),
});

export const store = sqliteTable("store", { id: text("id").primaryKey() });

export const packageFile = sqliteTable(
  "package_file",
  {
    id: id(),
    versionId: integer("version_id")
      .notNull()
      .references(() => packageVersion.id, { onDelete: "restrict" }),
    channelId: integer("channel_id")
      .notNull()
      .references(() => channel.id, { onDelete: "restrict" }),
    blobId: integer("blob_id")
      .notNull()
      .references(() => packageBlob.id, { onDelete: "restrict" }),
    section: text("section").notNull(),
    fileName: text("file_name").notNull(),
    fileNameFolded: text("file_name_folded").notNull(),
    packageName: text("package_name").notNull(),
    state: text("state", { enum: ["active", "yanked", "quarantined"] })
      .notNull()
      .default("active"),
    record: text("record").notNull(),
    metadata: text("metadata").notNull(),
    /** The user who published, directly or with a token. */
    publisherId: integer("publisher_id"),
    /** `user:7` or `token:12`; null for a file published under schema 1. */
    publishedBy: text("published_by"),
    publishedAt: integer("published_at").notNull(),
    /** JSON: why the file is quarantined; null for other states. */
    quarantine: text("quarantine"),
  },
  (table) => [
    uniqueIndex("package_file_name").on(table.channelId, table.section, table.fileNameFolded),
    index("package_file_order").on(table.channelId, table.section, table.packageName, table.fileName),
    index("package_file_state").on(table.channelId, table.section, table.state),
    index("package_file_published").on(table.channelId, table.publishedAt),
    index("package_file_version").on(table.versionId),
    index("package_file_blob").on(table.blobId),
  ],
);

export const packageProperty = sqliteTable(
  "package_property",
  {
    id: id(),
    refType: text("ref_type", { enum: ["package", "version", "file"] }).notNull(),
    refId: integer("ref_id").notNull(),
    name: text("name").notNull(),
    value: text("value").notNull(),
  },
  (table) => [
    index("package_property_value").on(table.name, table.value),
    index("package_property_ref").on(table.refType, table.refId),
  ],
);

export const indexPart = sqliteTable(
  "index_part",
  {
    channelId: integer("channel_id").notNull(),
    section: text("section").notNull(),
    name: text("name").notNull(),
    revision: integer("revision").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.channelId, table.section, table.name] }),
    index("index_part_revision").on(table.channelId, table.section, table.revision),
  ],
);

export const fileNameHistory = sqliteTable(
  "file_name_history",
  {
    channelId: integer("channel_id").notNull(),
    section: text("section").notNull(),
    fileNameFolded: text("file_name_folded").notNull(),
    sha256: text("sha256").notNull(),
    firstSeen: integer("first_seen").notNull(),
    deletedAt: integer("deleted_at"),
  },
  (table) => [primaryKey({ columns: [table.channelId, table.section, table.fileNameFolded, table.sha256] })],
);

export const roleGrant = sqliteTable(
  "grant",
  {
    id: id(),
    principalId: integer("principal_id").references(() => principal.id, { onDelete: "cascade" }),
    /** Read only by binaries of schema 1; later ones look up roles by the principal. */
    userId: integer("user_id").references(() => user.id, { onDelete: "cascade" }),
    ownerId: integer("owner_id").references(() => owner.id, { onDelete: "cascade" }),
    channelId: integer("channel_id").references(() => channel.id, { onDelete: "cascade" }),
    role: text("role", { enum: ["reader", "publisher", "maintainer", "owner"] }).notNull(),
    /** Patterns for the packages that the role may change. */
    packages: text("packages").notNull().default('["*"]'),
    created: integer("created").notNull(),
  },
  (table) => [
    uniqueIndex("grant_owner").on(table.principalId, table.ownerId),
    uniqueIndex("grant_channel").on(table.principalId, table.channelId),
  ],
);

/** Channels that were offered to another owner, who has not accepted yet. */
export const channelOffer = sqliteTable(
  "channel_offer",
  {
    channelId: integer("channel_id")
      .primaryKey()
      .references(() => channel.id, { onDelete: "cascade" }),
    ownerId: integer("owner_id")
      .notNull()
      .references(() => owner.id, { onDelete: "cascade" }),
    /** Who offered it; null for a command. */
    offeredBy: integer("offered_by").references(() => principal.id, { onDelete: "cascade" }),
    created: integer("created").notNull(),
  },
  (table) => [index("channel_offer_owner").on(table.ownerId)],
);

/** The addresses that channels had at their former owners. */
export const formerAddress = sqliteTable(
  "former_address",
  {
    ownerId: integer("owner_id")
      .notNull()
      .references(() => owner.id, { onDelete: "cascade" }),
    type: text("type").notNull(),
    name: text("name").notNull(),
    channelId: integer("channel_id")
      .notNull()
      .references(() => channel.id, { onDelete: "cascade" }),
    since: integer("since").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.ownerId, table.type, table.name] }),
    index("former_address_channel").on(table.channelId),
  ],
);

export const lease = sqliteTable(
  "lease",
  {
    name: text("name").notNull(),
    holder: text("holder").notNull(),
    until: integer("until").notNull(),
  },
  (table) => [primaryKey({ columns: [table.name, table.holder] })],
);

export const auditEvent = sqliteTable(
  "audit_event",
  {
    id: id(),
    at: integer("at").notNull(),
    /** The readable name, which remains after the user is deleted. */
    actor: text("actor").notNull().default(""),
    actorId: integer("actor_id"),
    tokenId: integer("token_id"),
    action: text("action").notNull(),
    ownerId: integer("owner_id"),
    channelId: integer("channel_id"),
    /** The complete readable name: `alice/main/noarch/x-1-0.conda`. */
    target: text("target").notNull().default(""),
    /** The part of the channel or owner that the action affected; otherwise its name. */
    subject: text("subject").notNull(),
    outcome: text("outcome", { enum: ["done", "refused"] })
      .notNull()
      .default("done"),
    detail: text("detail").notNull().default("{}"),
    requestId: text("request_id"),
    address: text("address"),
    /** How often, for refusals; 1 for a change. */
    times: integer("times").notNull().default(1),
    /** Refusals with the same key are counted in one row; null for a change. */
    refusal: text("refusal"),
  },
  (table) => [
    index("audit_event_channel").on(table.channelId, table.id),
    index("audit_event_owner").on(table.ownerId, table.id),
    uniqueIndex("audit_event_refusal")
      .on(table.refusal)
      .where(sql`${table.refusal} IS NOT NULL`),
  ],
);
