// Changes of organizations, teams, robots and transfers.

import { buildPackage } from "../package-builder.ts";
import { newToken } from "../manage.ts";
import { succeeded, type AuditedCases } from "./case.ts";

const NO_LIMITS = { scopes: [], channels: [], packages: [], lifetime: undefined };
const MAIN = { owner: "owner", channel: "main" };
const TEAM = { organization: "acme", team: "ci" };
const built = buildPackage({ name: "by-robot", version: "1" });

let secret = "";

/** They leave the channel `owner/main` where it was, and no organization. */
export const ORGANIZATION_CASES: AuditedCases = [
  [
    "organizations.create",
    {
      rows: ["organization.create acme"],
      run: ({ server, actor }) => server.app.organizations.create(actor, { name: "acme", owner: "owner" }),
    },
  ],
  [
    "organizations.change",
    {
      rows: ["organization.settings acme"],
      run: ({ server, actor }) => server.app.organizations.change(actor, "acme", { description: "packages" }),
    },
  ],
  [
    "teams.create",
    {
      rows: ["team.create acme/first"],
      run: ({ server, actor }) => server.app.teams.create(actor, "acme", { name: "first", role: "reader" }),
    },
  ],
  [
    "teams.change",
    {
      rows: ["team.settings acme/ci"],
      run: ({ server, actor }) =>
        server.app.teams.change(actor, { ...TEAM, team: "first" }, { name: "ci", role: "publisher" }),
    },
  ],
  [
    "teams.addMember",
    { rows: ["team.add acme/ci"], run: ({ server, actor }) => server.app.teams.addMember(actor, TEAM, "third") },
  ],
  [
    "teams.removeMember, who leaves with a role",
    {
      rows: ["team.remove acme/ci"],
      prepare: ({ server, actor }) =>
        server.app.grants.set(actor, { owner: "acme", channel: undefined }, "third", "maintainer"),
      run: ({ server, actor }) => server.app.teams.removeMember(actor, TEAM, "third"),
    },
  ],
  [
    "organizations.removeMember",
    {
      rows: ["member.remove acme"],
      prepare: ({ server, actor }) => server.app.teams.addMember(actor, TEAM, "third"),
      run: ({ server, actor }) => server.app.organizations.removeMember(actor, "acme", "third"),
    },
  ],
  [
    "grants.set of a team",
    {
      rows: ["grant.set owner/main"],
      run: ({ server, actor }) => server.app.grants.set(actor, MAIN, "acme/ci", "publisher"),
    },
  ],
  [
    "robots.create",
    {
      rows: ["robot.create acme/deploy"],
      run: ({ server, actor }) => server.app.robots.create(actor, "acme", "deploy"),
    },
  ],
  [
    "tokens.create of a robot",
    {
      rows: ["token.create acme/deploy"],
      run: ({ server, actor }) => server.app.tokens.create(actor, { ...NO_LIMITS, user: "acme/deploy", name: "one" }),
    },
  ],
  [
    "tokens.revoke of a robot",
    {
      rows: ["token.revoke acme/deploy"],
      run: ({ server, actor }) => server.app.tokens.revoke(actor, "acme/deploy", "one"),
    },
  ],
  [
    "teams.addMember of a robot",
    { rows: ["team.add acme/ci"], run: ({ server, actor }) => server.app.teams.addMember(actor, TEAM, "acme/deploy") },
  ],
  [
    "publish by a robot",
    {
      by: "acme/deploy (token two)",
      rows: [`publish acme/built/noarch/${built.fileName}`],
      prepare: async ({ server, actor }) => {
        await server.app.channels.create(actor, { owner: "acme", channel: "built" }, {});
        secret = await newToken(server.manage, { user: "acme/deploy", name: "two", scopes: ["write:package"] });
      },
      run: ({ server }) =>
        succeeded(server.withToken(secret).put(`/api/packages/acme/conda/built/${built.fileName}`, built.bytes)),
    },
  ],
  [
    "transfers.offer",
    { rows: ["channel.offer owner/main"], run: ({ server, actor }) => server.app.transfers.offer(actor, MAIN, "acme") },
  ],
  [
    "transfers.withdraw",
    { rows: ["channel.withdraw owner/main"], run: ({ server, actor }) => server.app.transfers.withdraw(actor, MAIN) },
  ],
  [
    "transfers.accept",
    {
      rows: ["channel.transfer owner/main", "channel.transfer acme/main"],
      prepare: ({ server, actor }) => server.app.transfers.offer(actor, MAIN, "acme"),
      run: ({ server, actor }) => server.app.transfers.accept(actor, MAIN),
    },
  ],
  [
    "transfers.transfer",
    {
      rows: ["channel.transfer acme/main", "channel.transfer owner/main"],
      run: ({ server, actor }) => server.app.transfers.transfer(actor, { ...MAIN, owner: "acme" }, "owner"),
    },
  ],
  [
    "organizations.rename",
    {
      rows: ["organization.rename corp"],
      run: ({ server, actor }) => server.app.organizations.rename(actor, "acme", "corp"),
    },
  ],
  [
    "teams.remove",
    {
      rows: ["team.delete corp/ci"],
      run: ({ server, actor }) => server.app.teams.remove(actor, { ...TEAM, organization: "corp" }),
    },
  ],
  [
    "robots.remove",
    {
      rows: ["robot.delete corp/deploy"],
      run: ({ server, actor }) => server.app.robots.remove(actor, "corp", "deploy"),
    },
  ],
  [
    "organizations.remove",
    {
      rows: ["organization.delete corp"],
      prepare: async ({ server, actor }) => {
        await server.app.channels.remove(actor, { owner: "corp", channel: "built" }, { withFiles: true });
        await server.app.robots.create(actor, "corp", "spare");
        await newToken(server.manage, { user: "corp/spare", name: "three" });
        await server.app.teams.create(actor, "corp", { name: "spares", role: "reader" });
      },
      run: ({ server, actor }) => server.app.organizations.remove(actor, "corp"),
    },
  ],
];
