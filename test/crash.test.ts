// kill -9 at every step of the write path: acknowledged data exists completely, and nothing exists half.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic, derivedDataIsLetGo, startTestApp, PASSWORD, type Actor, type TestApp } from "./support/app.ts";
import { bytesOf, jsonOf } from "./support/answers.ts";
import { copyClosedFolder } from "./support/copy-folder.ts";
import { PROMOTION, spawnCrashing } from "./support/crashing.ts";
import { openedEngines } from "./support/engines.ts";
import { buildPackage, type BuiltPackage } from "./support/package-builder.ts";
import { problemsOf } from "./support/problems.ts";
import { endLeases, openTables } from "./support/rows.ts";

const POINTS = ["p1.temp_open", "p2.body_half", "p3.temp_fsynced", ...PROMOTION, "p6.in_tx", "p7.committed"];

/** A data folder with one user, of which each test uses a copy. */
let template: string;
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), "condarium-crash-"));
  const server = await startTestApp({ folder: template });
  await server.addUser("user");
  await server.close();
  await derivedDataIsLetGo(template);
});
afterAll(() => rm(template, { recursive: true, force: true }));

type Crashing = { readonly url: string; readonly child: ReturnType<typeof spawnCrashing> };

describe("kill -9 of the server", () => {
  // The second kill hits a server with data; later ones hit concurrent publishes.
  for (const point of POINTS) {
    for (const blow of [1, 4]) {
      test(`at ${point}, on pass ${blow}, loses nothing that was acknowledged`, async () => {
        const folder = await folderWithUser();
        const server = await startCrashing(folder, `${point}=kill@${blow}`);
        const packages = Array.from({ length: 6 }, (_, at) => buildPackage({ name: `p${at}`, version: "1" }));
        const acknowledged: BuiltPackage[] = [];
        await Promise.all(
          packages.map(async (built) => {
            if ((await publish(server.url, built)) === 201) acknowledged.push(built);
          }),
        );
        // Concurrent publishes share a commit, so the later failpoints are passed less often than there are publishes.
        for (let at = 6; at < 20 && server.child.exitCode === null && server.child.signalCode === null; at++) {
          const built = buildPackage({ name: `p${at}`, version: "1" });
          packages.push(built);
          if ((await publish(server.url, built)) === 201) acknowledged.push(built);
        }
        // A server that was not killed would prove nothing.
        expect(await server.child.exited).toBe(137);
        await checkAfterCrash(folder, packages, acknowledged);
      });
    }
  }

  test("at random points under load loses nothing that was acknowledged", async () => {
    const folder = await folderWithUser();
    const packages: BuiltPackage[] = [];
    const acknowledged: BuiltPackage[] = [];
    for (let round = 0; round < 6; round++) {
      const server = await startCrashing(folder, undefined);
      const batch = Array.from({ length: 12 }, (_, at) => buildPackage({ name: `r${round}-${at}`, version: "1" }));
      packages.push(...batch);
      const ending = Bun.sleep(20 + 23 * round).then(() => server.child.kill("SIGKILL"));
      await Promise.all(
        batch.map(async (built) => {
          if ((await publish(server.url, built)) === 201) acknowledged.push(built);
        }),
      );
      await ending;
      await server.child.exited;
    }
    await checkAfterCrash(folder, packages, acknowledged);
  });
});

describe("kill -9 of the garbage collector", () => {
  for (const point of ["p11.gc_marked", "p12.gc_unlinked", "p6.in_tx"]) {
    test(`at ${point} leaves a consistent folder, and the next run collects the rest`, async () => {
      const folder = await folderWithUser();
      const server = await startTestApp({ folder });
      const packages = ["kept", "gone", "again"].map((name) => buildPackage({ name, version: "1" }));
      const [kept, , again] = packages;
      if (!kept || !again) throw new Error("there are three");
      for (const built of packages) expect(await publishIn(server, built)).toBe(201);
      for (const built of packages.slice(1))
        expect((await server.as("user").delete(`/user/main/noarch/${built.fileName}`)).status).toBe(204);
      await server.close();
      const args = ["gc", "--grace", "0", "--data", folder];
      const { environment } = openedEngines(folder);
      const killed = spawnCrashing(args, `${point}=kill`, environment);
      expect(await killed.exited).toBe(137);
      await checkAfterCrash(folder, [kept, again], [kept], { isRemoved: false });
      endLeases(folder);
      expect(await spawnCrashing(args, undefined, environment).exited).toBe(0);
      await checkAfterCrash(folder, [kept, again], [kept, again]);
    });
  }
});

test("an error thrown at any step of a publish fails only that publish and leaves no temporary file", async () => {
  for (const point of POINTS.slice(1, -1)) {
    let armed = false;
    const failpoint = (name: string): void => {
      if (name !== point || !armed) return;
      armed = false;
      throw new Error(`failpoint ${name}`);
    };
    const server = await startTestApp({ failpoint });
    try {
      const user = await server.addUser("user");
      await loginIsNoted(server, user);
      armed = true;
      const built = buildPackage({ name: "fragile", version: "1" });
      const path = `/api/packages/user/conda/main/${built.fileName}`;
      const failed = await user.put(path, built.bytes);
      expect([point, failed.status]).toEqual([point, 500]);
      expect(await failed.text()).not.toContain("failpoint");
      expect((await server.storedFiles()).filter((name) => name.startsWith("tmp/"))).toEqual([]);
      expect((await user.get(`/user/main/noarch/${built.fileName}`)).status).not.toBe(200);
      expect((await user.put(path, built.bytes)).status).toBe(201);
      expect((await user.get(`/user/main/noarch/${built.fileName}`)).status).toBe(200);
    } finally {
      await server.close();
    }
  }
});

/** The first login of a network is noted in the background, in a commit of its own. */
async function loginIsNoted({ folder }: TestApp, user: Actor): Promise<void> {
  expect((await user.get("/user/main/noarch/repodata.json")).status).not.toBe(401);
  const tables = openTables(folder);
  const noted = (): number => tables.all("SELECT 1 FROM login_failure WHERE bucket LIKE 'known:%'").length;
  for (let tries = 0; tries < 200 && noted() === 0; tries += 1) await Bun.sleep(10);
  expect(noted()).toBe(1);
  tables.close();
}

async function folderWithUser(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-crash-"));
  await copyClosedFolder(template, folder);
  return folder;
}

/** A server from the source, built with failpoints; a separate process, because it will be killed. */
async function startCrashing(folder: string, failpoints: string | undefined): Promise<Crashing> {
  const { environment } = openedEngines(folder);
  const child = spawnCrashing(["serve", "--data", folder, "--listen", "127.0.0.1:0"], failpoints, environment);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of child.stderr) {
    text += decoder.decode(chunk, { stream: true });
    const url = /"url":"([^"]+)"/.exec(text)?.[1];
    if (url !== undefined) return { url, child };
  }
  throw new Error(`the server did not start: ${text}`);
}

async function publishIn(server: TestApp, { fileName, bytes }: BuiltPackage): Promise<number> {
  return (await server.as("user").put(`/api/packages/user/conda/main/${fileName}`, bytes)).status;
}

/** The status, or undefined when the connection broke. */
async function publish(url: string, built: BuiltPackage): Promise<number | undefined> {
  try {
    const answer = await fetch(`${url}/api/packages/user/conda/main/${built.fileName}`, {
      method: "PUT",
      headers: basic("user", PASSWORD),
      body: built.bytes.slice(),
    });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return undefined;
  }
}

async function checkAfterCrash(
  folder: string,
  packages: readonly BuiltPackage[],
  acknowledged: readonly BuiltPackage[],
  { isRemoved = true } = {},
): Promise<void> {
  const server = await startTestApp({ folder });
  try {
    expect(await problemsOf(server, "full")).toEqual([]);
    expect(await readdir(join(folder, "tmp")).catch(() => [])).toEqual([]);
    const user = server.as("user");
    const answer = await user.get("/user/main/noarch/repodata.json");
    const listed =
      answer.status === 200 ? Object.keys((await jsonOf<{ "packages.conda": object }>(answer))["packages.conda"]) : [];
    for (const built of packages) {
      const file = await user.get(`/user/main/noarch/${built.fileName}`);
      const isListed = listed.includes(built.fileName);
      expect([built.fileName, file.status === 200]).toEqual([built.fileName, isListed]);
      if (isListed) expect(await bytesOf(file)).toEqual(Buffer.from(built.bytes));
      if (acknowledged.includes(built)) expect(listed).toContain(built.fileName);
      // Repeating the publish is harmless: it is created then, or exists with the same bytes.
      const again = await user.put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes);
      if (isListed)
        expect([again.status, (await jsonOf<{ identical: boolean }>(again)).identical]).toEqual([409, true]);
      else expect(again.status).toBe(201);
    }
  } finally {
    await server.close();
    if (isRemoved) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
