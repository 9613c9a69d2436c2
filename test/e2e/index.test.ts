import { describe, expect, test } from "bun:test";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";

import { z } from "zod";

import { createMachine, haveClients, python } from "./clients.ts";
import type { LoggedRequest } from "./server.ts";
import { record, solve, useScene } from "./scene.ts";

const SUBDIRS = ["linux-64", "noarch"] as const;

/** The forms of the index; a client that does not find the one it prefers falls back silently. */
const SERVED = ["repodata.json", "repodata.json.zst", "repodata.json.bz2", "repodata_shards.msgpack.zst"];

const packageMap = z.record(z.string(), z.record(z.string(), z.unknown()));
const repodata = z.record(z.string(), z.unknown());
type PackageMap = z.infer<typeof packageMap>;

describe.skipIf(!(await haveClients()))("an index read by real clients", () => {
  let started = 0;
  const scene = useScene(async (opened) => {
    started = Date.now();
    await opened.publish("main", ...opened.packages.all);
  });

  test("has in repodata.json the records that rattler-index makes of the same packages, field by field", async () => {
    const oracle = await rattlerIndex();
    for (const subdir of SUBDIRS) {
      const ours = await document(`${subdir}/repodata.json`);
      const theirs = oracle[subdir] ?? {};
      for (const key of ["packages", "packages.conda"]) {
        const records = packageMap.parse(ours[key]);
        expect(Object.keys(records)).not.toBeEmpty();
        expect(withoutIndexedTimestamp(records)).toEqual(withoutRunExports(theirs, key));
        // The server sets the time of publishing, so it is the one field that differs.
        for (const { indexed_timestamp } of Object.values(records)) {
          expect(Number.isInteger(indexed_timestamp)).toBe(true);
          expect(indexed_timestamp).toBeWithin(started, Date.now() + 1);
        }
      }
      // Intended: `removed` is always present, and `v3` is absent while no record needs it.
      expect(Object.keys(ours).sort()).toEqual(["info", "packages", "packages.conda", "removed", "repodata_version"]);
      expect(ours["info"]).toEqual({ subdir });
      expect(ours["removed"]).toEqual([]);
      expect(ours["repodata_version"]).toBe(1);
    }
  });

  test("shows the same packages in every form of the index, also to a strict parser", async () => {
    const forms = z.record(z.enum(["shards", "zst", "bz2", "json", "strict"]), z.array(record));
    for (const subdir of SUBDIRS) {
      const machine = await createMachine();
      const seen = await python("fetch_repodata.py", [scene().channel("main"), subdir, machine.home], forms, machine);
      const published = scene().packages.all.filter((one) => one.subdir === subdir);
      expect(seen.strict.map(({ fileName }) => fileName)).toEqual(published.map(({ fileName }) => fileName).sort());
      // In a flat index, rattler leaves out a `.tar.bz2` when a `.conda` of the same build exists.
      const preferred = seen.strict.filter(({ fileName }) => fileName.endsWith(".conda"));
      for (const form of ["shards", "zst", "bz2", "json"] as const) {
        expect(seen[form].filter(({ fileName }) => fileName.endsWith(".conda"))).toEqual(preferred);
      }
      // Only the log shows whether the client read each form.
      const base = `/alice/main/${subdir}`;
      const answered = await scene().server.requests(({ path }) => path.startsWith(base));
      for (const file of SERVED)
        expect(answered).toContainEqual({ method: "GET", path: `${base}/${file}`, status: 200 });
      await machine.remove();
    }
  });

  test("has in run_exports.json the run exports that rattler-index finds, and an entry for each package", async () => {
    const oracle = await rattlerIndex();
    for (const subdir of SUBDIRS) {
      const ours = await document(`${subdir}/run_exports.json`);
      expect(Object.keys(ours).sort()).toEqual(["info", "packages", "packages.conda"]);
      expect(ours["info"]).toEqual({ subdir, version: 1 });
      for (const key of ["packages", "packages.conda"]) {
        const theirs = Object.entries(withExportsOfTwins(oracle[subdir] ?? {}, key));
        const expected = theirs.map(([fileName, fields]) => [fileName, { run_exports: fields["run_exports"] ?? {} }]);
        expect(ours[key]).toEqual(Object.fromEntries(expected));
      }
    }
  });

  test("has in current_repodata.json only the newest of each name, equal to the entry in repodata.json", async () => {
    for (const subdir of SUBDIRS) {
      const [current, whole] = [
        await document(`${subdir}/current_repodata.json`),
        await document(`${subdir}/repodata.json`),
      ];
      for (const key of ["packages", "packages.conda"]) {
        const records = Object.entries(packageMap.parse(whole[key]));
        const newest = records.filter(([, { name, version }]) => name !== "weather-lib" || version === "1.1.0");
        expect(newest).toHaveLength(records.length - (subdir === "linux-64" ? 1 : 0));
        expect(current[key]).toEqual(Object.fromEntries(newest));
      }
      expect({ ...current, packages: 0, "packages.conda": 0 }).toEqual({ ...whole, packages: 0, "packages.conda": 0 });
    }
  });

  test("has every package in channeldata.json, described by its newest version", async () => {
    const { packages } = await document("channeldata.json");
    const names = [...new Set(scene().packages.all.map(({ name }) => name))].sort();
    expect(Object.keys(packageMap.parse(packages)).sort()).toEqual(names);
    expect(packageMap.parse(packages)["weather-lib"]).toMatchObject({
      version: "1.1.0",
      subdirs: ["linux-64"],
      summary: "Reads the weather",
      license: "MIT",
      home: "https://example.com/weather",
      run_exports: { "1.1.0": { weak: ["weather-lib >=1.0,<2"] } },
    });
  });

  test("shows a new version at once to a client with a warm cache, also in a subdir that was empty", async () => {
    await scene().publish("growing", scene().packages.find("weather-data"));
    const machine = await createMachine();
    const channel = scene().channel("growing");
    const version = async (name: string): Promise<string | undefined> =>
      (await solve(channel, [name], machine))[0]?.version;

    expect(await version("weather-data")).toBe("2024.1");
    expect(version("weather-lib")).rejects.toThrow("weather-lib");
    await scene().publish("growing", scene().packages.find("weather-lib=1.0.0"));
    expect(await version("weather-lib")).toBe("1.0.0");
    await scene().publish("growing", scene().packages.find("weather-lib=1.1.0"));
    expect(await version("weather-lib")).toBe("1.1.0");
    await machine.remove();
  });

  test("responds with 304 to a client with a warm cache while nothing changes", async () => {
    await scene().publish("quiet", scene().packages.find("weather-data"));
    const machine = await createMachine();
    const before = await solve(scene().channel("quiet"), ["weather-data"], machine);
    const known = (await scene().server.requests(readsQuiet)).length;
    const after = await solve(scene().channel("quiet"), ["weather-data"], machine);
    expect(after).toEqual(before);
    const asked = (await scene().server.requests(readsQuiet)).slice(known);
    expect(asked).not.toBeEmpty();
    expect(asked.filter(({ status }) => status !== 304)).toEqual([]);
    await machine.remove();
  });

  async function document(path: string): Promise<z.infer<typeof repodata>> {
    const answer = await fetch(`${scene().channel("main")}/${path}`);
    expect(answer.status).toBe(200);
    return repodata.parse(await answer.json());
  }

  async function rattlerIndex(): Promise<Record<string, z.infer<typeof repodata>>> {
    const machine = await createMachine();
    const folder = join(machine.home, "channel");
    for (const { subdir, path, fileName } of scene().packages.all) {
      await mkdir(join(folder, subdir), { recursive: true });
      await copyFile(path, join(folder, subdir, fileName));
    }
    const made = await python("index_oracle.py", [folder], z.record(z.string(), repodata), machine);
    await machine.remove();
    return made;
  }
});

function readsQuiet({ path, method }: LoggedRequest): boolean {
  return method === "GET" && path.startsWith("/alice/quiet/");
}

/** rattler-index adds `run_exports` that CEP 12 keeps out of repodata; no `index.json` of these packages has them. */
function withoutRunExports(theirs: z.infer<typeof repodata>, key: string): PackageMap {
  const records = withoutIndexedTimestamp(packageMap.parse(theirs[key]));
  for (const one of Object.values(records)) delete one["run_exports"];
  return records;
}

/** rattler-index reads `run_exports` of a `.conda` only; those of a `.tar.bz2` have to equal those of its twin. */
function withExportsOfTwins(theirs: z.infer<typeof repodata>, key: string): PackageMap {
  const twins = packageMap.parse(theirs["packages.conda"]);
  const records = Object.entries(withoutIndexedTimestamp(packageMap.parse(theirs[key])));
  return Object.fromEntries(
    records.map(([fileName, fields]) => {
      const exports = twins[fileName.replace(/\.tar\.bz2$/, ".conda")]?.["run_exports"];
      return [fileName, exports === undefined ? fields : { ...fields, run_exports: exports }];
    }),
  );
}

function withoutIndexedTimestamp(records: PackageMap): PackageMap {
  const rest = structuredClone(records);
  for (const one of Object.values(rest)) delete one["indexed_timestamp"];
  return rest;
}
