// Two builders work on the same derived data, as a server and a command beside it do: whatever they do to each other,
// each returns documents of the revision it names, and their stored data equal those of a full build.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { findChannel, latestRevision } from "../../../src/models/channel.ts";
import { openSnapshots } from "../../../src/models/open-database.ts";
import { openDerived } from "../../../src/models/index/db.ts";
import { findOwner } from "../../../src/models/owner.ts";
import { systemClock, type Clock } from "../../../src/modules/clock.ts";
import { createDerivedFiles } from "../../../src/modules/storage/derived-files.ts";
import { shardKey } from "../../../src/modules/storage/keys.ts";
import { DEFAULT_TYPE } from "../../../src/services/channel-ref.ts";
import { condaIndex } from "../../../src/services/conda/index-format.ts";
import { folderOf, PLAIN_VIEW, WHOLE_CHANNEL } from "../../../src/services/index/documents.ts";
import type { BuildReply, BuildRequest } from "../../../src/services/index/builder.ts";
import { documentsOf } from "../../../src/services/index/repair/rebuild.ts";
import { BOUNDARY_RULE } from "../../../src/services/index/segments/chunking.ts";
import { seedChannel } from "../../bench/channel-seed.ts";
import { derivedDataIsLetGo, startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { filesListed, expectedFiles } from "../../support/document-oracle.ts";
import {
  below,
  createHistory,
  generator,
  SUBDIRS,
  type Held,
  type History,
  type Random,
} from "../../support/history.ts";
import { builderHere, builderInProcess, builderInThread, type TestBuilder } from "../../support/index-builders.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { contentFile } from "../../support/engines.ts";
import { sourceOf } from "../../support/rows.ts";

setDefaultTimeout(120_000);

type Place = Pick<BuildRequest, "section" | "name">;
type Built = Extract<BuildReply, { kind: "built" }> & { readonly content: Uint8Array };
type Answer = {
  readonly place: Place;
  readonly built: Built;
  /** The revision at the request. */
  readonly least: number;
  /** Its contents, from the shards that were stored at that time. */
  readonly listed: readonly string[] | undefined;
};

const PLACES: readonly Place[] = [
  ...SUBDIRS.flatMap((section) => documentsOf(condaIndex, section).map((name) => ({ section, name }))),
  { section: WHOLE_CHANNEL, name: "channeldata.json" } as const,
  { section: WHOLE_CHANNEL, name: "rss.xml" } as const,
  // The slowest to build: one section is enough.
].filter(({ section, name }) => section === "noarch" || !name.endsWith(".bz2"));
/** A segment boundary follows the first of each three. */
const NAMES = cutting(true, 8).flatMap((name, at) => [name, ...cutting(false, 16).slice(2 * at, 2 * at + 2)]);
const ADDRESS = { title: "user/channel", url: "https://conda.example/user/channel" };
/** One builder alone needs few; a builder that others delay for more possibly never ends. */
const MOST_STEPS = 100;

type Kind = "publish" | "remove" | "yank" | "build" | "reopen" | "forget";
/** The next action; the seed decides everything else. */
type Step = { readonly kind: Kind; readonly seed: number };
const KINDS: readonly Kind[] = [
  ...Array.from({ length: 5 }, () => "publish" as const),
  ...Array.from({ length: 5 }, () => "remove" as const),
  ...Array.from({ length: 8 }, () => "build" as const),
  "yank",
  "yank",
  "reopen",
  "forget",
];
const step: fc.Arbitrary<Step> = fc.record({ kind: fc.constantFrom(...KINDS), seed: fc.nat(10_000) });

type Open = (seed: number) => TestBuilder;
const WAYS: readonly (readonly [string, number, Open])[] = [
  ["in one thread", 12, (seed) => builderHere(server.folder, server.folder, leapingClock(generator(seed)))],
  ["in two threads", 2, () => builderInThread(server.folder)],
  ["in two processes", 3, () => builderInProcess(server.folder)],
];

let server: TestApp;
let user: Actor;
let snapshots: ReturnType<typeof openSnapshots>;
let channels = 0;
beforeAll(async () => {
  let now = Date.UTC(2030, 0, 1);
  server = await startTestApp({ clock: { now: () => (now += 7), elapsed: () => performance.now() } });
  user = await server.addUser("user");
  snapshots = openSnapshots(sourceOf(server.folder));
});
afterAll(async () => {
  await snapshots.close();
  await server.close();
});

test.each(WAYS)("two builders %s produce what a full build produces, whatever happens", async (_, numRuns, open) => {
  const histories = fc.array(step, { minLength: 8, maxLength: 25, size: "max" });
  await fc.assert(
    fc.asyncProperty(histories, (steps) => play(steps, open)),
    { seed: 8, numRuns, interruptAfterTimeLimit: 40_000 },
  );
});

describe("a full build of 3,000 records by two builders at once", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "condarium-large-"));
    await seedChannel(folder, 3000);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const pairs: readonly (readonly Place["name"][])[] = [
    ["repodata.json", "repodata.json.zst"],
    ["repodata_shards.msgpack.zst", "repodata_shards.msgpack.zst"],
  ];
  test.each(pairs.map((names) => ({ names })))("completes for $names", async ({ names }) => {
    const tasks = names.map(async (name) => {
      const [builder, place] = [builderInProcess(folder), { section: "linux-64", name }];
      try {
        return { place, built: await make(builder, folder, 1, place) };
      } finally {
        await builder.close();
      }
    });
    await checkAgainstFullBuild(folder, 1, await Promise.all(tasks));
  });
});

/** This many names that end a segment, or do not. */
function cutting(isTruncated: boolean, count: number): string[] {
  const names = Array.from({ length: 1000 }, (_, at) => `pkg-${at}`);
  return names.filter((name) => (crc32(name) % BOUNDARY_RULE.nameModulus === 0) === isTruncated).slice(0, count);
}

/** The clock jumps, so that build steps end at any point. */
function leapingClock(random: Random): Clock {
  let elapsed = 0;
  return { now: systemClock.now, elapsed: () => (elapsed += random() < 0.1 ? 100 : 1) };
}

type World = {
  readonly channelId: number;
  readonly history: History;
  /** The channel's contents, by revision. */
  readonly states: ReadonlyMap<number, readonly Held[]>;
  readonly builders: TestBuilder[];
  readonly answers: Answer[];
  readonly open: Open;
};

async function play(steps: readonly Step[], open: Open): Promise<void> {
  const world = await newWorld(open);
  try {
    for (const { kind, seed } of steps) await take(world, kind, generator(seed));
    for (const builder of world.builders) for (const place of PLACES) await ask(world, builder, place);
    checkStates(world);
    await checkAgainstFullBuild(server.folder, world.channelId, world.answers.slice(-2 * PLACES.length));
  } finally {
    for (const builder of world.builders) await builder.close();
  }
}

async function newWorld(open: Open): Promise<World> {
  const channel = `run-${(channels += 1)}`;
  await server.manage.channels.create({ owner: user.name, channel }, {});
  const channelId = await snapshots.snapshot(async (reader) => {
    const owner = await findOwner(reader, user.name);
    return (await findChannel(reader, owner?.id ?? 0, DEFAULT_TYPE, channel))?.id ?? 0;
  });
  const revision = async (): Promise<number> =>
    await snapshots.snapshot(async (reader) => (await latestRevision(reader, channelId))?.revision ?? 0);
  const states = new Map<number, readonly Held[]>([[await revision(), []]]);
  const onChange = async (held: readonly Held[]): Promise<void> => void states.set(await revision(), held);
  const history = createHistory({ server, user, channel, names: NAMES, onChange });
  return { channelId, history, states, builders: [open(1), open(2)], answers: [], open };
}

async function take(world: World, kind: Kind, random: Random): Promise<void> {
  const { history } = world;
  switch (kind) {
    case "publish":
      return await history.publishSome(random);
    case "remove":
      return await history.removeOne(random);
    case "yank":
      return await history.yankOne(random);
    case "build":
      return await buildAtOnce(world, random);
    case "reopen":
      return await reopen(world, below(random, 2), random);
    case "forget":
      return await forget(world, random);
  }
}

/** Each builder builds a few documents, the second a little after the first, while the channel can change. */
async function buildAtOnce(world: World, random: Random): Promise<void> {
  const { history, builders } = world;
  const tasks = builders.map(async (builder) => {
    const places = Array.from({ length: 1 + below(random, 3) }, () => anyPlace(random));
    await aMoment(random);
    for (const place of places) await ask(world, builder, place);
  });
  if (random() < 0.5) tasks.push(random() < 0.7 ? history.publishSome(random) : history.yankOne(random));
  await Promise.all(tasks);
}

/** Closes a builder, possibly during its work, and opens it again. */
async function reopen({ builders, open, channelId }: World, at: number, random: Random): Promise<void> {
  const builder = builders[at];
  const work = builder
    ?.build({ channelId, view: PLAIN_VIEW, address: ADDRESS, ...anyPlace(random) })
    .catch(() => undefined);
  if (random() < 0.7) await aMoment(random);
  else await work;
  await builder?.close();
  await work;
  builders[at] = open(below(random, 1000));
}

/** Derived data can be deleted while no builder has it open. */
async function forget({ builders, open }: World, random: Random): Promise<void> {
  for (const builder of builders) await builder.close();
  // The last process that closes it removes its log.
  openDerived(join(server.folder, "index.db"), condaIndex.codec).close();
  await derivedDataIsLetGo(server.folder);
  rmSync(join(server.folder, "index.db"));
  if (random() < 0.5) rmSync(join(server.folder, "derived"), { recursive: true, force: true });
  for (const at of builders.keys()) builders[at] = open(below(random, 1000));
}

/** Mostly from the first few, so that these follow many small changes. */
function anyPlace(random: Random): Place {
  const among = random() < 0.6 ? 4 : PLACES.length;
  return PLACES[below(random, among)] ?? { section: WHOLE_CHANNEL, name: "rss.xml" };
}

/** In turns of this thread's other work, or in ms. */
async function aMoment(random: Random): Promise<void> {
  for (let turns = below(random, 300); turns > 0; turns--) await Promise.resolve();
  if (random() < 0.3) await Bun.sleep(below(random, 5));
}

async function ask({ channelId, states, answers }: World, builder: TestBuilder, place: Place): Promise<void> {
  const least = Math.max(...states.keys());
  const built = await make(builder, server.folder, channelId, place);
  const listed = filesListed(place.name, built.content, (hash) => {
    const shard = readFileSync(contentFile(server.folder, shardKey(channelId, hash)));
    expect(new Bun.CryptoHasher("sha256").update(shard).digest("hex")).toBe(hash);
    return shard;
  });
  answers.push({ place, built, least, listed });
}

async function make(builder: TestBuilder, folder: string, channelId: number, place: Place): Promise<Built> {
  for (let steps = 0; steps < MOST_STEPS; steps++) {
    const reply = await builder.build({ channelId, view: PLAIN_VIEW, address: ADDRESS, ...place });
    if (reply.kind === "more" || reply.kind === "busy") continue;
    if (reply.kind === "absent") throw new Error(reply.why);
    const { hash, size, bytes } = reply;
    const content =
      bytes ??
      readFileSync(createDerivedFiles(folder).pathOf(folderOf({ channelId, view: PLAIN_VIEW }, place), hash, size));
    expect([place, content.byteLength]).toEqual([place, size]);
    return { ...reply, content };
  }
  throw new Error(`no end of building ${place.section} ${place.name}`);
}

/** Each is of an existing revision, no older than its request, and one revision has one sequence of bytes. */
function checkStates({ states, answers }: World): void {
  const known = new Map<string, string>();
  for (const { place, built, least, listed } of answers) {
    const { revision } = built.point;
    expect([place, revision >= least]).toEqual([place, true]);
    const held = states.get(revision);
    if (!held) throw new Error(`there never was a revision ${revision}`);
    if (listed)
      expect([place, revision, listed]).toEqual([place, revision, expectedFiles(place.name, place.section, held)]);
    const here = held.filter(({ subdir }) => place.section === WHOLE_CHANNEL || subdir === place.section);
    const state = JSON.stringify([place, here.map((file) => `${file.serial} ${file.isYanked}`).sort()]);
    const content = `${built.hash} ${Bun.hash(built.content)}`;
    expect([state, known.get(state) ?? content]).toEqual([state, content]);
    known.set(state, content);
  }
}

async function checkAgainstFullBuild(
  folder: string,
  channelId: number,
  answers: readonly Pick<Answer, "place" | "built">[],
): Promise<void> {
  const room = await mkdtemp(join(tmpdir(), "condarium-nothing-"));
  const builder = builderHere(folder, room, systemClock);
  try {
    for (const { place, built } of answers) {
      const fresh = await make(builder, room, channelId, place);
      expect([place, built.hash]).toEqual([place, fresh.hash]);
      expect([place, Buffer.from(built.content).equals(fresh.content)]).toEqual([place, true]);
    }
  } finally {
    await builder.close();
    await rm(room, { recursive: true, force: true });
  }
}

test("a reader gets an error while another process locks the derived data, and its document afterwards", async () => {
  let elapsed = 0;
  const hurried = await startTestApp({ clock: { now: () => Date.now(), elapsed: () => (elapsed += 10_000) } });
  const reader = await hurried.addUser("user");
  const built = buildPackage({ name: "a", version: "1" });
  expect((await reader.put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  const derived = openDerived(join(hurried.folder, "index.db"), condaIndex.codec);
  const read = (): Promise<Response> => reader.get("/user/main/noarch/repodata.json");
  await derived.exclusively(async () => {
    const answer = await read();
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
  });
  expect((await read()).status).toBe(200);
  derived.close();
  await hurried.close();
});
