// The last release on a data folder that this one has migrated, and back. PostgreSQL and S3 have no earlier release.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "../e2e/run.ts";
import { startServer, type TestServer } from "../e2e/server.ts";
import { leaveOut } from "../support/left-out.ts";
import { buildPackage } from "../support/package-builder.ts";

const CHECKOUT = join(import.meta.dir, "../..");
/** The commit of release 0.1.0, which has no tag. */
const RELEASE = "fa16c7c8225ab53d94819087c7feba365e1946bb";
const DOCUMENTS = ["repodata.json", "repodata.json.zst", "repodata.json.bz2", "current_repodata.json"];

const hasRelease = await output(["git", "-C", CHECKOUT, "cat-file", "-e", RELEASE]).then(
  () => true,
  () => false,
);
if (!hasRelease) leaveOut("the upgrade from release 0.1.0", "this checkout has no history");

let room: string;
beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), "condarium-upgrade-"));
});
afterAll(() => rm(room, { recursive: true, force: true }));

test.skipIf(!hasRelease)(
  "release 0.1.0 serves and publishes on a migrated folder, and this release goes on after it",
  async () => {
    await output(["sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh", CHECKOUT, RELEASE, room]);
    await symlink(join(CHECKOUT, "node_modules"), join(room, "node_modules"));
    const commands = {
      old: [process.execPath, join(room, "src/main.ts")],
      new: [process.execPath, join(CHECKOUT, "src/main.ts")],
    };
    const dataDir = join(room, "registry");
    let token = "";
    const published: string[] = [];
    for (const release of ["old", "new", "old", "new", "old", "new"] as const) {
      const server = await startServer({ command: commands[release], dataDir });
      try {
        if (token === "") {
          await server.createUser("alice");
          token = await server.createToken("alice", "all");
        }
        const built = buildPackage({ name: `p${published.length}`, version: "1" });
        expect([release, await publish(server, token, built)]).toEqual([release, 201]);
        published.push(built.fileName);
        await expectAll(server, published);
        const verified = await server.condarium(["verify", "--deep"]);
        expect([release, verified.code, verified.stdout + verified.stderr]).toEqual([release, 0, expect.any(String)]);
      } finally {
        await server.stop();
      }
    }
  },
);

async function publish({ url }: TestServer, token: string, built: { fileName: string; bytes: Uint8Array }) {
  const headers = { authorization: `Bearer ${token}` };
  const target = `${url}/api/packages/alice/conda/main/${built.fileName}`;
  return (await fetch(target, { method: "PUT", headers, body: built.bytes.slice() })).status;
}

async function expectAll({ url }: TestServer, fileNames: readonly string[]): Promise<void> {
  for (const name of [...DOCUMENTS, ...fileNames])
    expect((await fetch(`${url}/alice/main/noarch/${name}`)).status).toBe(200);
  const repodata = await (await fetch(`${url}/alice/main/noarch/repodata.json`)).text();
  for (const fileName of fileNames) expect(repodata).toContain(fileName);
}
