// Fills a fresh data folder with the records of a large channel, so real in their kind that they compress as such do.
// Only the database is filled: there are no packages behind the records.

import { openDatabase } from "../../src/models/database.ts";
import { openDataFolder } from "../../src/models/data-folder.ts";
import type { Transaction } from "../../src/models/database.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import type { PackageMetadata } from "../../src/modules/conda/archive.ts";
import { canonicalRecord } from "../../src/modules/conda/record.ts";
import { createAccess } from "../../src/services/access.ts";
import { createChannels } from "../../src/services/channels.ts";
import { createPackages, type NewFile } from "../../src/services/packages.ts";
import { createUsers } from "../../src/services/users.ts";

export type ChannelShape = {
  readonly names: number;
  readonly versionsPerName: number;
  readonly buildsPerVersion: number;
};

type Random = { below(limit: number): number; pick<T>(items: readonly T[]): T; hex(bytes: number): string };

const PER_TRANSACTION = 2000;
const SUBDIR = "linux-64";
const PYTHONS = ["39", "310", "311", "312", "313"];
const SYLLABLES = "al ba cor de en fi gra hy io jas ki lib mo net op py qua re sci ten ur va web xa yo zi".split(" ");
const LICENSES = ["MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0-or-later", "LGPL-2.1-or-later", "MIT OR Apache-2.0"];

/** Makes the user `admin` and its channel `main`; answers how many records `linux-64` has. */
export async function seedChannel(dataDir: string, shape: ChannelShape): Promise<number> {
  const folder = openDataFolder(dataDir, { create: true });
  const database = openDatabase({ path: folder.database, clock, create: true });
  try {
    const access = createAccess({ reader: database.read });
    const channels = createChannels({ database, access, clock });
    const password = crypto.randomUUID();
    await createUsers({ database, clock, defaultVisibility: "public" }).create({
      name: "admin",
      password,
      isAdmin: true,
    });
    await channels.create({ owner: "admin", channel: "main" }, {});
    const files = [...filesOf(shape)];
    for (let at = 0; at < files.length; at += PER_TRANSACTION) {
      const some = files.slice(at, at + PER_TRANSACTION);
      await database.transact(async (tx) => {
        const place = await channels.find(tx, "admin", "main");
        if (!place?.channel) throw new Error("the channel has gone");
        await addAll(tx, place.channel, some);
      });
    }
    return files.length;
  } finally {
    database.close();
  }
}

async function addAll(
  tx: Transaction,
  channel: Parameters<ReturnType<typeof createPackages>["addFile"]>[1],
  files: readonly NewFile[],
): Promise<void> {
  const packages = createPackages({ clock });
  const actor = { identity: { kind: "anonymous" }, requestId: "seed", address: "127.0.0.1" } as const;
  for (const file of files) await packages.addFile(tx, channel, file, actor);
}

function* filesOf(shape: ChannelShape): Generator<NewFile> {
  const random = createRandom(1);
  const names = [...new Set(Array.from({ length: shape.names }, () => nameOf(random)))];
  for (const name of names) {
    const depends = Array.from({ length: 2 + random.below(6) }, () => random.pick(names));
    const license = random.pick(LICENSES);
    const isPython = random.below(3) > 0;
    for (let version = 0; version < shape.versionsPerName; version += 1) {
      const number = `${1 + Math.floor(version / 10)}.${version % 10}.${random.below(4)}`;
      const bounds = depends.map((dependency) => dependsOn(random, dependency));
      for (let build = 0; build < shape.buildsPerVersion; build += 1) {
        const python = isPython ? PYTHONS[build % PYTHONS.length] : undefined;
        yield fileOf(random, { name, version: number, depends: bounds, license, python, buildNumber: build });
      }
    }
  }
}

type Contents = {
  readonly name: string;
  readonly version: string;
  readonly depends: readonly string[];
  readonly license: string;
  readonly python: string | undefined;
  readonly buildNumber: number;
};

function fileOf(random: Random, contents: Contents): NewFile {
  const { name, version, license, python, buildNumber } = contents;
  const build = `${python === undefined ? "" : `py${python}`}h${random.hex(4).slice(0, 7)}_${buildNumber}`;
  const pins =
    python === undefined
      ? []
      : [
          `python >=3.${python.slice(1)},<3.${Number(python.slice(1)) + 1}.0a0`,
          `python_abi 3.${python.slice(1)}.* *_cp${python}`,
        ];
  const index = {
    arch: "x86_64",
    build,
    build_number: buildNumber,
    depends: ["__glibc >=2.17,<3.0.a0", "libgcc >=13", "libstdcxx >=13", ...contents.depends, ...pins],
    license,
    license_family: license.split("-")[0],
    name,
    platform: "linux",
    subdir: SUBDIR,
    timestamp: 1_700_000_000_000 + random.below(50_000_000_000),
    version,
  };
  const metadata: PackageMetadata & { findings: [] } = { about: {}, runExports: {}, flags: [], findings: [] };
  return {
    packageName: name,
    version,
    section: SUBDIR,
    fileName: `${name}-${version}-${build}.conda`,
    record: canonicalRecord(index),
    metadata: JSON.stringify(metadata),
    properties: [{ name: "conda.build", value: build }],
    blob: { sha256: random.hex(32), md5: random.hex(16), size: 10_000 + random.below(5_000_000) },
  };
}

function nameOf(random: Random): string {
  const word = (): string => Array.from({ length: 2 + random.below(3) }, () => random.pick(SYLLABLES)).join("");
  return random.below(3) === 0 ? `${word()}-${word()}` : word();
}

function dependsOn(random: Random, name: string): string {
  const [major, minor] = [random.below(5), random.below(20)];
  return random.below(3) === 0 ? name : `${name} >=${major}.${minor}.${random.below(5)},<${major + 1}.0a0`;
}

/** The same numbers each time. */
function createRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number): number => next() % limit;
  return {
    below,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error("there is nothing to pick from");
      return item;
    },
    hex: (bytes) => Array.from({ length: bytes }, () => below(256).toString(16).padStart(2, "0")).join(""),
  };
}
