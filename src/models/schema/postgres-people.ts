// The tables of people in PostgreSQL: owners, users and teams, and how they sign in.

import { index, pgTable, primaryKey, uniqueIndex } from "drizzle-orm/pg-core";
import { id, integer, flag, text } from "./postgres-columns.ts";

export const owner = pgTable(
  "owner",
  {
    id: id(),
    kind: text("kind").notNull(),
    name: text("name").notNull(),
    displayName: text("display_name").notNull().default(""),
    description: text("description").notNull().default(""),
    visibility: text("visibility").notNull(),
    disabled: flag("disabled").notNull().default(false),
    hidden: flag("hidden").notNull().default(false),
    created: integer("created").notNull(),
  },
  (table) => [uniqueIndex("owner_name").on(table.name)],
);

/** Holders of roles. */
export const principal = pgTable("principal", { id: id(), kind: text("kind").notNull() });

export const user = pgTable(
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
    organizationId: integer("organization_id").references(() => owner.id, { onDelete: "restrict" }),
  },
  (table) => [
    uniqueIndex("user_owner").on(table.ownerId),
    uniqueIndex("user_principal").on(table.principalId),
    index("user_organization").on(table.organizationId),
  ],
);

export const secondFactor = pgTable("second_factor", {
  userId: integer("user_id")
    .primaryKey()
    .references(() => user.id, { onDelete: "cascade" }),
  secret: text("secret").notNull(),
  lastStep: integer("last_step").notNull(),
  created: integer("created").notNull(),
  confirmed: integer("confirmed"),
});

export const recoveryCode = pgTable(
  "recovery_code",
  {
    userId: integer("user_id")
      .notNull()
      .references(() => user.id, { onDelete: "cascade" }),
    codeHash: text("code_hash").notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.codeHash] })],
);

export const accessToken = pgTable(
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

export const team = pgTable(
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
    role: text("role").notNull(),
    channels: text("channels").notNull(),
    packages: text("packages").notNull(),
    created: integer("created").notNull(),
  },
  (table) => [
    uniqueIndex("team_name").on(table.organizationId, table.nameFolded),
    uniqueIndex("team_principal").on(table.principalId),
  ],
);

export const teamMember = pgTable(
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

export const heldName = pgTable("held_name", {
  name: text("name").primaryKey(),
  ownerId: integer("owner_id").notNull(),
  freed: integer("freed").notNull(),
});

export const loginFailure = pgTable(
  "login_failure",
  {
    bucket: text("bucket").primaryKey(),
    windowStart: integer("window_start").notNull(),
    failures: integer("failures").notNull(),
  },
  (table) => [index("login_failure_window").on(table.windowStart)],
);
