import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { mutants } from "../support/archive-mutants.ts";
import { compareReaders, type Comparison, haveLibarchive, type Sample } from "../support/archive-readers.ts";
import { leaveOut } from "../support/left-out.ts";
import { haveClients, python } from "./clients.ts";
import { realPackages } from "./packages.ts";

const SEED = 1;
const MUTANTS = 300;

const isHere = (await haveClients()) && (await haveLibarchive());

describe.skipIf(!isHere)("independent readers and the server", () => {
  test("read the same in packages of all writers, and none is refused", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-writers-"));
    try {
      const writers = await python("write_archives.py", [join(folder, "packages")], z.array(z.string()));
      const samples = await Promise.all(writers.map((writer) => sampleIn(join(folder, "packages", writer), writer)));
      for (const { fileName, path } of (await realPackages()).all) {
        samples.push({ name: "rattler-build", fileName, bytes: await Bun.file(path).bytes() });
      }
      const comparison = await compareReaders(samples);
      expect(namesOf(comparison)).toEqual(samples.map(({ name }) => name));
      expect(differencesOf(comparison)).toEqual([]);
      if (!writers.includes("bsdtar pax")) leaveOut("packages by bsdtar", "there is no bsdtar");
      expect(writers).toEqual(expect.arrayContaining(["streaming", "tar gnu", "tarfile pax", "transmuted"]));
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 120_000);

  test("read the same in every accepted mutant of a good package", async () => {
    const comparison = await compareReaders(mutants(SEED, 0, MUTANTS));
    expect(differencesOf(comparison)).toEqual([]);
    expect(comparison.accepted.length).toBeGreaterThan(MUTANTS / 6);
    // If most were refused for one reason, the checks behind it would not be reached.
    expect(comparison.refusals.size).toBeGreaterThan(25);
  }, 120_000);
});

async function sampleIn(folder: string, name: string): Promise<Sample> {
  const [fileName = ""] = readdirSync(folder);
  return { name, fileName, bytes: await Bun.file(join(folder, fileName)).bytes() };
}

function namesOf({ accepted }: Comparison): string[] {
  return accepted.map(({ name }) => name);
}

function differencesOf({ differences }: Comparison): string[] {
  return differences.map(({ sample, reader, what }) => `${reader}, ${sample.name}: ${what}`);
}
