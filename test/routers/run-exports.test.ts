import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { repodataOf, shardHashes, shardIndexOf, shardOf, textOf } from "../support/documents.ts";
import { buildPackage } from "../support/package-builder.ts";

const FLAT = [
  "repodata.json",
  "repodata.json.zst",
  "repodata.json.bz2",
  "current_repodata.json",
  "current_repodata.json.zst",
  "repodata_from_packages.json",
  "repodata_from_packages.json.zst",
];

let server: TestApp;
let alice: Actor;
beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
});
afterAll(() => server.close());

const bytesAt = async (path: string): Promise<Uint8Array> => {
  const answer = await server.anonymous.get(path);
  expect([path, answer.status]).toEqual([path, 200]);
  return new Uint8Array(await answer.arrayBuffer());
};

type Fields = Readonly<Record<string, unknown>>;
type Maps = Readonly<Record<string, Record<string, Fields>>> & {
  v3?: Readonly<Record<string, Record<string, Fields>>>;
};

/** Every entry of a document, by file name. */
function entriesOf(document: Maps): Record<string, Fields> {
  const v3 = Object.entries(document.v3 ?? {}).flatMap(([format, entries]) =>
    Object.entries(entries).map(([stem, fields]) => [`${stem}.${format}`, fields]),
  );
  return { ...document["packages"], ...document["packages.conda"], ...Object.fromEntries(v3) };
}

const flatEntries = async (channel: string, name: string): Promise<Record<string, Fields>> =>
  entriesOf(repodataOf(name, await bytesAt(`/alice/${channel}/noarch/${name}`)) as unknown as Maps);

async function shardEntries(channel: string): Promise<Record<string, Fields>> {
  const index = shardIndexOf(await bytesAt(`/alice/${channel}/noarch/repodata_shards.msgpack.zst`));
  const entries: Record<string, Fields> = {};
  for (const hash of Object.values(shardHashes(index))) {
    const shard = shardOf(await bytesAt(`/alice/${channel}/noarch/shards/${hash}.msgpack.zst`));
    Object.assign(entries, entriesOf(shard as unknown as Maps));
  }
  return entries;
}

const exported = async (channel: string): Promise<Record<string, Fields>> => {
  const path = `/alice/${channel}/noarch/run_exports.json`;
  return entriesOf(JSON.parse(textOf("run_exports.json", await bytesAt(path))) as Maps);
};

const publish = async (channel: string, description: Parameters<typeof buildPackage>[0]) => {
  const built = buildPackage(description);
  const answer = await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes);
  const body = (await answer.json()) as { findings: { rule: string; level: string }[] };
  expect([built.fileName, answer.status]).toEqual([built.fileName, 201]);
  return { fileName: built.fileName, findings: body.findings };
};

/** Run exports of `run_exports.json`, and of `index.json`: as written, as shown, and whether that is a finding. */
const OF_FILE = [
  { written: undefined, shown: {} },
  { written: { weak: ["w >=1"], strong: [] }, shown: { weak: ["w >=1"] } },
  { written: ["listed"], shown: { weak: ["listed"] } },
];
const OF_INDEX = [
  { written: undefined, shown: undefined, isFinding: false },
  { written: null, shown: undefined, isFinding: false },
  { written: {}, shown: {}, isFinding: false },
  { written: { weak: ["i"], noarch: [] }, shown: { weak: ["i"], noarch: [] }, isFinding: false },
  { written: { strong: ["i 1.*"], other: 1 }, shown: { strong: ["i 1.*"], other: 1 }, isFinding: false },
  { written: ["i"], shown: undefined, isFinding: true },
  { written: { weak: "i" }, shown: undefined, isFinding: true },
  { written: { weak: null }, shown: undefined, isFinding: true },
  { written: { strong_constrains: [1] }, shown: undefined, isFinding: true },
  { written: "i", shown: undefined, isFinding: true },
];

describe("run exports", () => {
  test("are in a flat document only where index.json has them, and in shards those of the package", async () => {
    let channels = 0;
    const one = fc.record({
      ofFile: fc.constantFrom(...OF_FILE),
      ofIndex: fc.constantFrom(...OF_INDEX),
      format: fc.constantFrom("conda" as const, "tar.bz2" as const),
      isRevision3: fc.boolean(),
      name: fc.constantFrom("a", "b"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 6 }), async (packages) => {
        const channel = `channel-${(channels += 1)}`;
        const [flat, package_] = [new Map<string, unknown>(), new Map<string, unknown>()];
        const newest = new Map<string, string>();
        for (const [at, { ofFile, ofIndex, format, isRevision3, name }] of packages.entries()) {
          const { fileName, findings } = await publish(channel, {
            name,
            version: String(at),
            format,
            ...(isRevision3 ? { flags: ["cuda"] } : {}),
            ...(ofIndex.written === undefined ? {} : { run_exports: ofIndex.written }),
            info: { "run_exports.json": ofFile.written },
          });
          const isFinding = findings.some(({ rule, level }) => rule === "index-run-exports" && level === "warning");
          expect(isFinding).toBe(ofIndex.isFinding);
          flat.set(fileName, ofIndex.shown);
          package_.set(fileName, ofFile.shown);
          if (!isRevision3) newest.set(name, fileName);
        }
        for (const document of FLAT) {
          const entries = await flatEntries(channel, document);
          const listed = document.startsWith("current") ? [...newest.values()] : [...flat.keys()];
          for (const fileName of listed) expect(entries[fileName]).toBeDefined();
          for (const [fileName, entry] of Object.entries(entries)) {
            expect([document, entry.run_exports]).toEqual([document, flat.get(fileName)]);
            expect("run_exports" in entry).toBe(flat.get(fileName) !== undefined);
          }
        }
        const [shards, own] = [await shardEntries(channel), await exported(channel)];
        for (const [fileName, expected] of package_) {
          expect(shards[fileName]?.run_exports).toEqual(expected);
          expect(own[fileName]).toEqual({ run_exports: expected });
        }
      }),
      { numRuns: 8 },
    );
  });
});
