// The attacks of a hostile user, each alone: the data stored for it first, and the requests until the time is over.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unread, unreadAll, getText, type Connection } from "../../support/hostile-connections.ts";
import { buildPackage, type BuiltPackage, type PackageDescription } from "../../support/package-builder.ts";
import type { Confined } from "./confined.ts";

export type Target = Pick<Confined, "url" | "port"> & { readonly token: string; readonly packages: string };

export type Attack = {
  readonly name: string;
  prepare(target: Target): Promise<void>;
  /** Ends once `isOver` says so. */
  run(target: Target, isOver: () => boolean): Promise<void>;
};

type Contents = { readonly [key: string]: unknown } & Partial<PackageDescription>;

const KIB = 1024;
/** The budget of stored bytes that a file adds to documents, a little below the server's limit. */
const MOST_STORED = 240 * KIB;

function noise(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
}

function longNoise(bytes: number): Uint8Array {
  return Buffer.concat(Array.from({ length: Math.ceil(bytes / 65_536) }, () => noise(65_536))).subarray(0, bytes);
}

/** A response of any status counts. */
async function put({ url, token }: Target, channel: string, { fileName, bytes }: BuiltPackage, query = "") {
  const address = `${url}/api/packages/mallory/conda/${channel}/${fileName}${query}`;
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(address, { method: "PUT", headers, body: bytes.slice() }).catch(() => undefined);
  await answer?.arrayBuffer().catch(() => undefined);
  return answer?.status;
}

async function store(target: Target, channel: string, packages: Iterable<PackageDescription>): Promise<void> {
  const refused = new Set<number | undefined>();
  for (const one of packages) {
    const status = await put(target, channel, buildPackage(one));
    if (status !== 201 && status !== 409) refused.add(status);
  }
  if (refused.size > 0) console.log(`some packages of ${channel} were refused with ${[...refused].join(", ")}`);
}

async function read({ url }: Target, path: string): Promise<void> {
  const answer = await fetch(`${url}${path}`).catch(() => undefined);
  if (answer?.body) for await (const _ of answer.body);
}

/** Keeps opening this many connections that read nothing. */
async function waves({ port }: Target, texts: readonly string[], isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const open = await unreadAll(port, texts);
    for (let waited = 0; waited < 30 && !isOver(); waited += 1) await Bun.sleep(100);
    for (const connection of open) connection.end();
    await Bun.sleep(50);
  }
}

async function until(isOver: () => boolean, work: (round: number) => Promise<unknown>): Promise<void> {
  for (let round = 0; !isOver(); round += 1) await work(round);
}

function* numbered(count: number, describe: (at: number) => Contents): Generator<PackageDescription> {
  for (let at = 0; at < count; at += 1) yield { name: `n${at}`, version: "1", ...describe(at) };
}

const specs = (count: number, seed: number): string[] =>
  Array.from({ length: count }, (_, at) => `dep-${Bun.hash.wyhash(`${seed} ${at}`).toString(16)} >=${at}`);

const gzip: Attack = {
  name: "gzip: 300 who ask for a document of 3 MB as gzip and read nothing",
  prepare: (target) =>
    store(
      target,
      "gzip",
      numbered(280, (at) => ({ depends: specs(300, at) })),
    ),
  run: (target, isOver) => {
    const text = getText("/mallory/gzip/noarch/repodata.json", { "accept-encoding": "gzip" });
    return waves(
      target,
      Array.from({ length: 300 }, () => text),
      isOver,
    );
  },
};

const small: Attack = {
  name: "small: 1,000 who ask for 150 packages of 1 MB and read nothing",
  prepare: (target) =>
    store(
      target,
      "small",
      numbered(150, () => ({ files: { noise: longNoise(1_000_000) } })),
    ),
  run: (target, isOver) =>
    waves(
      target,
      Array.from({ length: 1000 }, (_, at) => getText(`/mallory/small/noarch/n${at % 150}-1-0.conda`)),
      isOver,
    ),
};

const HEAVY = ["repodata_shards.msgpack.zst", "current_repodata.json", "run_exports.json", "repodata.json"];

const documents: Attack = {
  name: "documents: every document of channels with the largest records, after each publish",
  prepare: async (target) => {
    const strong = Array.from({ length: MOST_STORED / 4000 }, (_, at) => `${"a".repeat(3990)}${at}`);
    const heavy = (): Contents => ({ info: { "run_exports.json": { strong } } });
    await store(target, "exports", numbered(60, heavy));
    const record = (at: number): Contents => ({
      depends: Array.from({ length: 60 }, (_, n) => `x${at} ==${n}.${"1".repeat(3900)}`),
    });
    await store(target, "records", numbered(100, record));
    // One name with a large shard.
    for (let at = 0; at < 60; at += 1)
      await store(target, "records", [{ name: "one", version: `${at}`, ...record(at) }]);
  },
  run: (target, isOver) =>
    until(isOver, async (round) => {
      for (const channel of ["exports", "records"]) {
        await store(target, channel, [{ name: "last", version: `${Date.now()}${round}` }]);
        const paths = [...HEAVY.map((name) => `noarch/${name}`), "channeldata.json"];
        await Promise.all(paths.map((path) => read(target, `/mallory/${channel}/${path}`)));
      }
    }),
};

const alternatives: Attack = {
  name: "alternatives: current_repodata of specs with many alternatives",
  prepare: async (target) => {
    const versions = Array.from({ length: 150 }, (_, at) => ({ name: "x", version: `1.${at}` }));
    await store(target, "busy", versions);
    const spec = (at: number, line: number): string =>
      `x ${Array.from({ length: 380 }, (_, k) => `==9.${(k * 7919 + at * 60 + line) % 99_999}`).join("|")}`;
    const depends = (at: number): string[] => Array.from({ length: 50 }, (_, line) => spec(at, line));
    await store(
      target,
      "busy",
      numbered(60, (at) => ({ depends: depends(at) })),
    );
  },
  run: (target, isOver) =>
    until(isOver, async (round) => {
      await store(target, "busy", [{ name: "last", version: `${Date.now()}${round}` }]);
      const asked = read(target, "/mallory/busy/noarch/current_repodata.json");
      while (!isOver() && !(await Promise.race([asked.then(() => true), Bun.sleep(100)])));
    }),
};

function uploads(name: string, file: string, atOnce: number): Attack {
  return {
    name,
    prepare: async () => {},
    run: async (target, isOver) => {
      const bytes = readFileSync(join(target.packages, file));
      const one = (): Promise<void> =>
        until(isOver, async () => {
          const status = await put(target, "uploads", { fileName: file, bytes, sha256: "" }, "?dry_run=true");
          if (status === undefined || status === 429 || status === 503) await Bun.sleep(200);
        });
      await Promise.all(Array.from({ length: atOnce }, one));
    },
  };
}

const members = uploads("members: packages of 190,000 files, eight at once", "members-1.0-0.tar.bz2", 8);
const bombs = uploads("bombs: packages of 900 bytes that hold 900 MB, sixteen at once", "bomb-1.0-0.tar.bz2", 16);

const connections: Attack = {
  name: "connections: 1,000 that are idle, send half a request or take a byte now and then",
  prepare: (target) => store(target, "slow", [{ name: "big", version: "1", files: { noise: longNoise(12_000_000) } }]),
  run: async (target, isOver) => {
    const texts = Array.from({ length: 1000 }, (_, at) => {
      if (at % 4 === 0) return "";
      if (at % 4 === 1) return "GET /mallory/slow/noarch/rep";
      return getText("/mallory/slow/noarch/big-1-0.conda", at % 4 === 2 ? {} : { range: `bytes=${at}-999999` });
    });
    const open = await unreadAll(target.port, texts);
    while (!isOver()) await Bun.sleep(100);
    for (const connection of open) connection.end();
  },
};

const bodiless: Attack = {
  name: "bodiless: HEAD and 304 without end on 20 connections that read nothing",
  prepare: (target) => store(target, "heads", [{ name: "one", version: "1" }]),
  run: async (target, isOver) => {
    const path = "/mallory/heads/noarch/repodata.json";
    const etag = (await fetch(`${target.url}${path}`)).headers.get("etag") ?? "";
    const texts = [getText(path, {}, "HEAD"), getText(path, { "if-none-match": etag }), getText("/", {}, "HEAD")];
    await until(isOver, async () => {
      const opening = Array.from({ length: 20 }, (_, at) =>
        unread(target.port, (texts[at % 3] ?? "").repeat(200), true).catch(() => undefined),
      );
      const open: (Connection | undefined)[] = await Promise.all(opening);
      for (let waited = 0; waited < 10 && !isOver(); waited += 1) await Bun.sleep(100);
      for (const connection of open) connection?.end();
    });
  },
};

export const ATTACKS: readonly Attack[] = [gzip, small, documents, alternatives, members, bombs, connections, bodiless];
