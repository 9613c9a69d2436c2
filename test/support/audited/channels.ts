// Changes of channels, files and roles.

import { buildPackage, type BuiltPackage } from "../package-builder.ts";
import { setState } from "../state.ts";
import { succeeded, type AuditedCases, type Stage } from "./case.ts";

const MAIN = { owner: "owner", channel: "main" };
const NEW = { owner: "owner", channel: "new" };
const built = buildPackage({ name: "pkg", version: "1" });
const [second, sibling] = ["0", "1"].map((build) => buildPackage({ name: "pkg", version: "2", build })) as [
  BuiltPackage,
  BuiltPackage,
];
const PATH = `owner/main/noarch/${built.fileName}`;
const FILE = { channel: MAIN, section: "noarch", fileName: built.fileName };
const BYTES = { sha256: built.sha256 };

export const CHANNEL_CASES: AuditedCases = [
  [
    "channels.create",
    { rows: ["channel.create owner/main"], run: ({ server, actor }) => server.app.channels.create(actor, MAIN, {}) },
  ],
  [
    "channels.change",
    {
      rows: ["channel.settings owner/main"],
      run: ({ server, actor }) => server.app.channels.change(actor, MAIN, { description: "a description" }),
    },
  ],
  [
    "channels.change of an owner",
    {
      rows: ["owner.settings owner"],
      run: ({ server, actor }) =>
        server.app.channels.change(actor, { owner: "owner", channel: undefined }, { visibility: "internal" }),
    },
  ],
  ["publish", { by: "owner", rows: [`publish ${PATH}`], run: ({ server }) => put(server, "main", built) }],
  [
    "publish to a new channel",
    {
      by: "owner",
      rows: ["channel.create owner/new", `publish owner/new/noarch/${second.fileName}`],
      run: ({ server }) => put(server, "new", second),
    },
  ],
  [
    "versions.remove",
    {
      rows: [`delete owner/new/noarch/${second.fileName}`, `delete owner/new/noarch/${sibling.fileName}`],
      prepare: ({ server }) => put(server, "new", sibling),
      run: ({ server, actor }) =>
        server.app.versions.remove(actor, { channel: { ...NEW, type: "conda" }, name: "pkg", version: "2" }),
    },
  ],
  ["yank", { by: "command line", rows: [`yank ${PATH}`], run: ({ server }) => setState(server, PATH, "yanked") }],
  ["unyank", { by: "command line", rows: [`unyank ${PATH}`], run: ({ server }) => setState(server, PATH, "active") }],
  [
    "quarantines.quarantine",
    {
      rows: [`quarantine ${PATH}`],
      run: ({ server, actor }) => server.app.quarantines.quarantine(actor, FILE, "a reason"),
    },
  ],
  [
    "quarantines.release",
    { rows: [`release ${PATH}`], run: ({ server, actor }) => server.app.quarantines.release(actor, FILE) },
  ],
  [
    "quarantines.quarantineAll",
    {
      rows: [`quarantine ${PATH}`],
      run: ({ server, actor }) =>
        server.app.quarantines.quarantineAll(actor, BYTES, { reason: "a reason", dryRun: false }),
    },
  ],
  [
    "quarantines.releaseAll",
    {
      rows: [`release ${PATH}`],
      run: ({ server, actor }) => server.app.quarantines.releaseAll(actor, BYTES, { dryRun: false }),
    },
  ],
  [
    "delete",
    { by: "owner", rows: [`delete ${PATH}`], run: ({ server }) => succeeded(server.as("owner").delete(`/${PATH}`)) },
  ],
  [
    "grants.set",
    {
      rows: ["grant.set owner/main"],
      run: ({ server, actor }) => server.app.grants.set(actor, MAIN, "other", "reader"),
    },
  ],
  [
    "grants.revoke",
    { rows: ["grant.revoke owner/main"], run: ({ server, actor }) => server.app.grants.revoke(actor, MAIN, "other") },
  ],
];

/** They delete what other cases use. */
export const LAST_CHANNEL_CASES: AuditedCases = [
  [
    "channels.remove",
    { rows: ["channel.delete owner/new"], run: ({ server, actor }) => server.app.channels.remove(actor, NEW) },
  ],
  [
    "channels.remove with files",
    {
      inSteps: true,
      rows: ["delete owner/main", "channel.delete owner/main"],
      prepare: ({ server }) => put(server, "main", built),
      run: ({ server, actor }) => server.app.channels.remove(actor, MAIN, { withFiles: true }),
    },
  ],
];

function put(server: Stage["server"], channel: string, { fileName, bytes }: BuiltPackage): Promise<Response> {
  return succeeded(server.as("owner").put(`/api/packages/owner/conda/${channel}/${fileName}`, bytes));
}
