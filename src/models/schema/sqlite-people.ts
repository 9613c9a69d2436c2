// The tables of people in SQLite: owners, users and teams, and how they sign in.

import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { id, flag } from "./sqlite-columns.ts";

export const owner = sqliteTable(
  "owner",
  {
    id: id(),
    /** A robot has an owner row only for its name, `organization/robot`, which no address can contain. */
    kind: text("kind", { enum: ["user", "organization", "robot"] }).notNull(),
    name: text("name").notNull(),
    displayName: text("display_name").notNull().default(""),
    description: text("description").notNull().default(""),
    visibility: text("visibility", { enum: ["public", "internal", "private"] }).notNull(),
    /** True refuses every login and every token of the user. */
    disabled: flag("disabled").notNull().default(false),
    /** True lets only administrators read the owner's channels. */
    hidden: flag("hidden").notNull().default(false),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("owner_name").on(table.name)],
);

/** Holders of roles. */
export const principal = sqliteTable("principal", {
  id: id(),
  kind: text("kind", { enum: ["user", "team", "robot"] }).notNull(),
});

export const user = sqliteTable(
  "user",
  {
    id: id(),
    principalId: integer("principal_id").references(() => principal.id),
    ownerId: integer("owner_id")
      .notNull()
      .references(() => owner.id, { onDelete: "cascade" }),
    email: text("email").notNull().default(""),
    passwordHash: text("password_hash").notNull(),
    credentialVersion: integer("credential_version").notNull().default(1),
    isAdmin: flag("is_admin").notNull().default(false),
    mustChangePassword: flag("must_change_password").notNull().default(false),
    /** The organization of a robot; null for a person. */
    organizationId: integer("organization_id").references(() => owner.id, { onDelete: "restrict" }),
  },
  (table) => [
    uniqueIndex("user_owner").on(table.ownerId),
    uniqueIndex("user_principal").on(table.principalId),
    index("user_organization").on(table.organizationId),
  ],
);

/** The authenticator app of a user; the password alone is refused once it is confirmed. */
export const secondFactor = sqliteTable("second_factor", {
  userId: integer("user_id")
    .primaryKey()
    .references(() => user.id, { onDelete: "cascade" }),
  /** Base32. As it is: the codes are worth nothing without the password, of which only a hash is stored. */
  secret: text("secret").notNull(),
  /** The time step of the last code that counted: it and earlier ones count no more. */
  lastStep: integer("last_step").notNull(),
  created: integer("created").notNull(),
  confirmed: integer("confirmed"),
});

/** Those that have not been used. */
export const recoveryCode = sqliteTable(
  "recovery_code",
  {
    userId: integer("user_id")
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    codeHash: text("code_hash").notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.codeHash] })],
);

export const accessToken = sqliteTable(
  "access_token",
  {
    id: id(),
    userId: integer("user_id")
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    tokenHash: text("token_hash").notNull(),
    /** The end of the token, by which people recognize it; empty for a token of an earlier release. */
    lastEight: text("last_eight").notNull().default(""),
    scopes: text("scopes").notNull(),
    channels: text("channels").notNull(),
    packages: text("packages").notNull(),
    credentialVersion: integer("credential_version").notNull(),
    created: integer("created").notNull(),
    expires: integer("expires"),
    lastUsed: integer("last_used"),
    revoked: integer("revoked"),
  },
  (table) => [
    uniqueIndex("access_token_hash").on(table.tokenHash),
    index("access_token_name").on(table.userId, table.name),
  ],
);

export const team = sqliteTable(
  "team",
  {
    id: id(),
    principalId: integer("principal_id")
      .notNull()
      .references(() => principal.id),
    organizationId: integer("organization_id")
      .notNull()
      .references(() => owner.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    nameFolded: text("name_folded").notNull(),
    role: text("role", { enum: ["reader", "publisher", "maintainer", "owner"] }).notNull(),
    /** Patterns for channels of the organization, and for packages in them. */
    channels: text("channels").notNull(),
    packages: text("packages").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [
    uniqueIndex("team_name").on(table.organizationId, table.nameFolded),
    uniqueIndex("team_principal").on(table.principalId),
  ],
);

export const teamMember = sqliteTable(
  "team_member",
  {
    teamId: integer("team_id")
      .notNull()
      .references(() => team.id, { onDelete: "cascade" }),
    principalId: integer("principal_id")
      .notNull()
      .references(() => principal.id, { onDelete: "cascade" }),
    created: integer("created").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.principalId] }),
    index("team_member_principal").on(table.principalId),
  ],
);

/** Names of deleted and renamed owners, which nobody else can take for a while. */
export const heldName = sqliteTable("held_name", {
  name: text("name").primaryKey(),
  /** The owner that had the name; its row may be deleted. */
  ownerId: integer("owner_id").notNull(),
  freed: integer("freed").notNull(),
});

export const loginFailure = sqliteTable(
  "login_failure",
  {
    bucket: text("bucket").primaryKey(),
    windowStart: integer("window_start").notNull(),
    failures: integer("failures").notNull(),
  },
  (table) => [index("login_failure_window").on(table.windowStart)],
);
