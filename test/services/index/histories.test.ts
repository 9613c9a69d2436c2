// Whatever happened to a channel, its documents equal those of a full build over its current records.

import { describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { decode } from "@msgpack/msgpack";
import Bzip2 from "compressjs/lib/Bzip2.js";
import { decompress } from "fzstd";
import { bytesOf, jsonOf } from "../../support/answers.ts";
import { BOUNDARY_RULE } from "../../../src/services/index/segments/chunking.ts";
import { startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { createHistory, generator, SUBDIRS, type Held } from "../../support/history.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { openedEngines } from "../../support/engines.ts";

const DOCUMENTS = [
  "repodata.json",
  "repodata.json.zst",
  "repodata.json.bz2",
  "repodata_shards.msgpack.zst",
  "current_repodata.json",
  "run_exports.json",
  "run_exports.json.zst",
  "repodata_from_packages.json",
];

describe("documents after a random history", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`equal those of a full build (seed ${seed})`, async () => {
      let now = Date.UTC(2030, 0, 1);
      const clock = { now: () => (now += 7), elapsed: () => performance.now() };
      const server = await startTestApp({ clock });
      try {
        const user = await server.addUser("user");
        const random = generator(seed);
        const history = createHistory({ server, user, channel: "main" });
        for (let step = 0; step < 60; step++) {
          if (history.held.length > 0 && random() < 0.3) await history.removeOne(random);
          else await history.publishSome(random);
          // Reads between the changes make the index catch up in steps of different sizes.
          if (random() < 0.3) await readAll(user);
        }
        const followed = await readAll(user);
        await checkAgainst(followed, history.held);
        const rebuilt = await restartWithoutDerived(server);
        try {
          expect(await readAll(rebuilt.as("user"))).toEqual(followed);
        } finally {
          await rebuilt.close();
        }
      } finally {
        await server.close();
        await rm(server.folder, { recursive: true, force: true });
      }
    });
  }
});

test("a name with a segment boundary leaves no boundary when it is deleted while its neighbor changes", async () => {
  let server = await startTestApp();
  try {
    const user = await server.addUser("user");
    const cut = Array.from({ length: 1000 }, (_, at) => `m-${at}`).find(
      (name) => crc32(name) % BOUNDARY_RULE.nameModulus === 0,
    );
    const publish = async (name: string, version: string): Promise<string> => {
      const { fileName, bytes } = buildPackage({ name, version });
      expect((await user.put(`/api/packages/user/conda/main/${fileName}`, bytes)).status).toBe(201);
      return fileName;
    };
    await publish("a", "1");
    const gone = await publish(cut ?? "", "1");
    await publish("z", "1");
    await readAll(user);
    await publish("a", "2");
    expect((await user.delete(`/user/main/noarch/${gone}`)).status).toBe(204);
    const followed = await readAll(user);
    server = await restartWithoutDerived(server);
    expect(await readAll(server.as("user"))).toEqual(followed);
  } finally {
    await server.close();
    await rm(server.folder, { recursive: true, force: true });
  }
});

test("two channels that reached the same records in different ways have the same bytes", async () => {
  let now = 0;
  const server = await startTestApp({ clock: { now: () => now, elapsed: () => performance.now() } });
  try {
    now = Date.UTC(2030, 0, 1);
    const user = await server.addUser("user");
    const packages = Array.from({ length: 30 }, (_, at) => buildPackage({ name: `n${at % 7}`, version: `${at}` }));
    const publish = async (channel: string, built: (typeof packages)[number]) => {
      expect((await user.put(`/api/packages/user/conda/${channel}/${built.fileName}`, built.bytes)).status).toBe(201);
    };
    for (const built of packages) await publish("forth", built);
    for (const built of packages.toReversed()) await publish("back", built);
    const extra = buildPackage({ name: "extra", version: "1" });
    await publish("back", extra);
    await user.get("/user/back/noarch/repodata.json");
    expect((await user.delete(`/user/back/noarch/${extra.fileName}`)).status).toBe(204);
    for (const name of DOCUMENTS) {
      const [forth, back] = [await user.get(`/user/forth/noarch/${name}`), await user.get(`/user/back/noarch/${name}`)];
      expect([name, back.headers.get("etag")]).toEqual([name, forth.headers.get("etag")]);
      expect(await bytesOf(back)).toEqual(await bytesOf(forth));
    }
  } finally {
    await server.close();
  }
});

test("a reader that starts after a 201 always sees the package during concurrent publishes and reads", async () => {
  const server = await startTestApp();
  try {
    const user = await server.addUser("user");
    const tasks = Array.from({ length: 50 }, async (_, at) => {
      const built = buildPackage({ name: `c${at}`, version: "1" });
      expect((await user.put(`/api/packages/user/conda/busy/${built.fileName}`, built.bytes)).status).toBe(201);
      const name = DOCUMENTS[at % 3] ?? "repodata.json";
      const listed = repodataOf(name, await bytesOf(await user.get(`/user/busy/noarch/${name}`)));
      expect(Object.keys(listed["packages.conda"])).toContain(built.fileName);
      const shards = shardsOf(await bytesOf(await user.get("/user/busy/noarch/repodata_shards.msgpack.zst")));
      expect(Object.keys(shards)).toContain(`c${at}`);
    });
    await Promise.all(tasks);
  } finally {
    await server.close();
  }
});

test("derived data of another database is discarded, and damaged data too", async () => {
  const server = await startTestApp();
  await server.addUser("user");
  const publish = async (at: TestApp, name: string) => {
    const built = buildPackage({ name, version: "1" });
    expect((await at.as("user").put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  };
  const listed = async (at: TestApp) => {
    const answer = await at.as("user").get("/user/main/noarch/repodata.json");
    return Object.keys((await jsonOf<{ "packages.conda": object }>(answer))["packages.conda"]);
  };
  await publish(server, "first");
  await server.app.close();
  const setBack = await openedEngines(server.folder).save();
  let again = await startTestApp({ folder: server.folder });
  await publish(again, "second");
  expect(await listed(again)).toEqual(["first-1-0.conda", "second-1-0.conda"]);
  await again.app.close();
  // A restored copy, in which a different second publish then gets the same revision number.
  await setBack();
  again = await startTestApp({ folder: server.folder });
  expect(await listed(again)).toEqual(["first-1-0.conda"]);
  await publish(again, "other");
  expect(await listed(again)).toEqual(["first-1-0.conda", "other-1-0.conda"]);
  await again.app.close();
  await Bun.write(join(server.folder, "index.db"), "this is no database at all".repeat(1000));
  again = await startTestApp({ folder: server.folder });
  expect(await listed(again)).toEqual(["first-1-0.conda", "other-1-0.conda"]);
  await again.close();
  await rm(server.folder, { recursive: true, force: true });
});

/** Every document by its path, as bytes and as tag; `channeldata.json` too. */
async function readAll(user: Actor): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  const paths = [
    ...SUBDIRS.flatMap((subdir) => DOCUMENTS.map((name) => `${subdir}/${name}`)),
    "channeldata.json",
    "rss.xml",
  ];
  for (const path of paths) {
    const answer = await user.get(`/user/main/${path}`);
    expect([path, answer.status]).toEqual([path, 200]);
    all.set(path, `${answer.headers.get("etag")} ${(await bytesOf(answer)).toString("base64")}`);
  }
  return all;
}

async function checkAgainst(documents: Map<string, string>, held: readonly Held[]): Promise<void> {
  for (const subdir of SUBDIRS) {
    const here = held.filter((file) => file.subdir === subdir);
    const expected = here.map(({ fileName }) => fileName).sort();
    for (const name of ["repodata.json", "repodata.json.zst", "repodata.json.bz2"]) {
      const repodata = repodataOf(name, contentOf(documents, `${subdir}/${name}`));
      const { v3 = { conda: {}, "tar.bz2": {} } } = repodata;
      const listed = [
        ...Object.keys(repodata.packages),
        ...Object.keys(repodata["packages.conda"]),
        ...Object.keys(v3.conda).map((stem) => `${stem}.conda`),
        ...Object.keys(v3["tar.bz2"]).map((stem) => `${stem}.tar.bz2`),
      ];
      expect(listed.sort()).toEqual(expected);
    }
    const names = shardsOf(contentOf(documents, `${subdir}/repodata_shards.msgpack.zst`));
    expect(Object.keys(names).sort()).toEqual([...new Set(here.map(({ name }) => name))].sort());
  }
}

function contentOf(documents: Map<string, string>, path: string): Buffer {
  return Buffer.from((documents.get(path) ?? "").split(" ")[1] ?? "", "base64");
}

type Repodata = {
  readonly packages: object;
  readonly "packages.conda": object;
  readonly v3?: { readonly conda: object; readonly "tar.bz2": object };
};

function repodataOf(name: string, bytes: Buffer): Repodata {
  let text = bytes;
  if (name.endsWith(".zst")) text = Buffer.from(decompress(bytes));
  if (name.endsWith(".bz2")) text = Buffer.from(Bzip2.decompressFile(bytes));
  return JSON.parse(text.toString());
}

function shardsOf(bytes: Buffer): Record<string, Uint8Array> {
  const index = decode(decompress(bytes)) as { shards: Record<string, Uint8Array> };
  return index.shards;
}

async function restartWithoutDerived(server: TestApp): Promise<TestApp> {
  await server.app.close();
  for (const name of ["index.db", "index.db-wal", "index.db-shm", "derived"]) {
    await rm(join(server.folder, name), { recursive: true, force: true });
  }
  return await startTestApp({ folder: server.folder });
}
