import { describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { simpleSolve } from "@conda-org/rattler";
import { z } from "zod";

import { leaveOut } from "../support/left-out.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";
import { createMachine, curl, haveClients, python } from "./clients.ts";
import { PATH, run } from "./run.ts";
import { solve, useScene } from "./scene.ts";
import type { LoggedRequest } from "./server.ts";

const INDEX = "repodata_shards.msgpack.zst";
const SLOW = 60_000;

describe.skipIf(!(await haveClients()))("shards read by real clients", () => {
  const scene = useScene(async (opened) => {
    await opened.publish("main", ...opened.packages.all);
  });

  /** The requests to a channel since the previous call. */
  const seen = new Map<string, number>();
  async function asked(channel: string): Promise<LoggedRequest[]> {
    const all = await scene().server.requests(
      ({ path, method }) => path.startsWith(`/alice/${channel}/`) && method !== "PUT",
    );
    const fresh = all.slice(seen.get(channel) ?? 0);
    seen.set(channel, all.length);
    return fresh.map((one) => ({ ...one, path: one.path.slice(`/alice/${channel}/`.length) }));
  }

  async function publish(channel: string, one: BuiltPackage): Promise<void> {
    const { url } = scene().server;
    const headers = { authorization: `Bearer ${scene().alice.token}` };
    const target = `${url}/api/packages/alice/conda/${channel}/${one.fileName}`;
    expect((await fetch(target, { method: "PUT", headers, body: one.bytes.slice() })).status).toBe(201);
  }

  async function set(channel: string, ...flags: readonly string[]): Promise<void> {
    const ran = await scene().server.condarium(["channel", "set", `alice/${channel}`, ...flags]);
    expect([ran.code, ran.stdout]).toEqual([0, ""]);
  }

  test(
    "let py-rattler solve from the shards it needs, without requesting another document",
    async () => {
      await asked("main");
      const machine = await createMachine();
      const cold = await solve(scene().channel("main"), ["weather-app"], machine);
      expect(cold.map(({ name }) => name)).toEqual(["weather-app", "weather-data", "weather-lib"]);
      const first = await asked("main");
      for (const subdir of ["linux-64", "noarch"]) {
        expect(first).toContainEqual({ method: "GET", path: `${subdir}/${INDEX}`, status: 200 });
      }
      const shards = first.filter(({ path }) => /^(linux-64|noarch)\/shards\/[0-9a-f]{64}\.msgpack\.zst$/.test(path));
      expect(shards.map(({ method, status }) => `${method} ${status}`)).toEqual(["GET 200", "GET 200", "GET 200"]);
      expect(first).toHaveLength(shards.length + 2);

      expect(await solve(scene().channel("main"), ["weather-app"], machine)).toEqual(cold);
      const second = await asked("main");
      expect(second.map(({ path, status }) => `${path} ${status}`).sort()).toEqual([
        `linux-64/${INDEX} 304`,
        `noarch/${INDEX} 304`,
      ]);
      await machine.remove();
    },
    SLOW,
  );

  test(
    "are not requested again by py-rattler within the channel's max-age",
    async () => {
      await scene().publish("kept", scene().packages.find("weather-data"));
      await set("kept", "--max-age", "600");
      const machine = await createMachine();
      const cold = await solve(scene().channel("kept"), ["weather-data"], machine);
      expect(await asked("kept")).not.toBeEmpty();
      expect(await solve(scene().channel("kept"), ["weather-data"], machine)).toEqual(cold);
      expect(await asked("kept")).toEqual([]);
      await machine.remove();
    },
    SLOW,
  );

  test(
    "match the index that py-rattler read before a publish, and then the new index",
    async () => {
      const [old, recent] = [scene().packages.find("weather-lib=1.0.0"), scene().packages.find("weather-lib=1.1.0")];
      await scene().publish("held", old);
      const upload = `${scene().server.url}/api/packages/alice/conda/held`;
      const answer = await python(
        "stale_index.py",
        [scene().channel("held"), upload, scene().alice.token, recent.path, "weather-lib"],
        z.object({ known: z.array(z.string()), held: z.array(z.string()), anew: z.array(z.string()) }),
      );
      expect(answer).toEqual({ known: ["weather-lib"], held: ["1.0.0"], anew: ["1.0.0", "1.1.0"] });
      const shards = (await asked("held")).filter(({ path }) => path.includes("/shards/"));
      expect(shards.map(({ status }) => status)).toEqual([200, 200]);
      expect(shards[0]?.path).not.toBe(shards[1]?.path);
    },
    SLOW,
  );

  test(
    "show py-rattler each new version at once, twenty times in a row, while another client publishes continuously",
    async () => {
      const machine = await createMachine();
      const end = new AbortController();
      const noise = async (): Promise<number> => {
        let count = 0;
        for (; !end.signal.aborted; count++) {
          await publish("rolling", buildPackage({ name: `noise-${count % 20}`, version: `${count}` }));
        }
        return count;
      };
      const published = noise();
      try {
        for (let version = 1; version <= 20; version++) {
          await publish("rolling", buildPackage({ name: "rolling", version: `${version}` }));
          const found = await solve(scene().channel("rolling"), ["rolling"], machine);
          expect(found.map((one) => `${one.name} ${one.version}`)).toEqual([`rolling ${version}`]);
        }
      } finally {
        end.abort();
      }
      expect(await published).toBeGreaterThan(20);
      const requests = await asked("rolling");
      expect(requests.filter(({ path }) => path.startsWith("noarch/shards/")).length).toBeGreaterThanOrEqual(20);
      expect(requests.filter(({ path }) => path.includes("repodata.json"))).toEqual([]);
      expect(requests.filter(({ status }) => status !== 200 && status !== 304)).toEqual([]);
      await machine.remove();
    },
    SLOW,
  );

  test("let rattler in JavaScript solve", async () => {
    await scene().publish("browser", scene().packages.find("weather-app"), scene().packages.find("weather-lib"));
    await scene().publish("browser", scene().packages.find("weather-data"));
    const solved = await simpleSolve(["weather-app"], [scene().channel("browser")], ["linux-64", "noarch"], []);
    expect(solved.map(({ packageName }) => packageName).sort()).toEqual(["weather-app", "weather-data", "weather-lib"]);
    const requests = await asked("browser");
    expect(requests.map(({ path }) => path.replace(/[0-9a-f]{64}/, "HASH")).sort()).toEqual([
      `linux-64/${INDEX}`,
      "linux-64/shards/HASH.msgpack.zst",
      `noarch/${INDEX}`,
      "noarch/shards/HASH.msgpack.zst",
      "noarch/shards/HASH.msgpack.zst",
    ]);
    expect(requests.every(({ method, status }) => method === "GET" && status === 200)).toBe(true);
  });

  test(
    "are offered as the command line configures, and other clients use repodata.json.zst",
    async () => {
      await scene().publish("policy", scene().packages.find("weather-data"));
      const statusFor = async (agent: string): Promise<number> =>
        (await curl("--user-agent", agent, "--output", "/dev/null", `${scene().channel("policy")}/noarch/${INDEX}`))
          .status;
      const mamba = "mamba/2.8.1 libcurl/8.10.1";
      expect([await statusFor(mamba), await statusFor("conda/26.7.1")]).toEqual([404, 200]);
      await set("policy", "--shards", "on");
      expect([await statusFor(mamba), await statusFor("conda/26.7.1")]).toEqual([200, 200]);
      await set("policy", "--shards", "off");
      expect([await statusFor(mamba), await statusFor("conda/26.7.1")]).toEqual([404, 404]);
      await asked("policy");
      expect(await solve(scene().channel("policy"), ["weather-data"])).toHaveLength(1);
      const requests = await asked("policy");
      expect(requests).toContainEqual({ method: "GET", path: `noarch/${INDEX}`, status: 404 });
      expect(requests).toContainEqual({ method: "GET", path: "noarch/repodata.json.zst", status: 200 });
      const wrong = await scene().server.condarium(["channel", "set", "alice/policy", "--shards", "often"]);
      expect(wrong.code).toBe(2);
    },
    SLOW,
  );
});

describe.skipIf(!(await haveClients()))("documents spliced from many compressed parts", () => {
  const JOINED = ["repodata.json", "run_exports.json", "repodata_from_packages.json", "current_repodata.json"];
  const PACKAGES = 150;
  const scene = useScene(async ({ server, alice }) => {
    const headers = { authorization: `Bearer ${alice.token}` };
    const send = async (at: number, format: "conda" | "tar.bz2"): Promise<void> => {
      const one = buildPackage({ name: `joined-${at % 90}`, version: `${at}`, format, license: "text ".repeat(at) });
      const url = `${server.url}/api/packages/alice/conda/joined/${one.fileName}`;
      expect((await fetch(url, { method: "PUT", headers, body: one.bytes.slice() })).status).toBe(201);
    };
    for (let at = 0; at < PACKAGES; at++) await send(at, at % 3 === 0 ? "tar.bz2" : "conda");
  });

  const url = (name: string): string => `${scene().channel("joined")}/noarch/${name}`;

  /** The sha256 of each plain document. */
  async function plain(name: string): Promise<string> {
    const bytes = await (await fetch(url(name))).bytes();
    return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  }

  test(
    "decode the same with every decoder of python-zstandard and Python's bz2",
    async () => {
      const files = JOINED.map((name) => `${name}.zst`).concat("repodata.json.bz2");
      const decoded = await python(
        "decode.py",
        [...files, INDEX].map(url),
        z.record(z.string(), z.record(z.string(), z.string())),
      );
      for (const file of files) {
        const expected = await plain(file.replace(/\.(zst|bz2)$/, ""));
        const ways = Object.values(decoded[url(file)] ?? {});
        expect([file, ways]).toEqual([file, ways.map(() => expected)]);
        expect(ways).toHaveLength(file.endsWith(".zst") ? 4 : 2);
      }
      expect(new Set(Object.values(decoded[url(INDEX)] ?? {})).size).toBe(1);
      // A separator alone takes four blocks.
      expect(blocksOf(await (await fetch(url("repodata.json.zst"))).bytes())).toBeGreaterThan(20);
      const { packages, "packages.conda": conda } = (await (await fetch(url("repodata.json"))).json()) as Record<
        string,
        object
      >;
      expect(Object.keys({ ...packages, ...conda })).toHaveLength(PACKAGES);
    },
    SLOW,
  );

  for (const [tool, suffix] of [
    ["zstd", ".zst"],
    ["bzip2", ".bz2"],
  ] as const) {
    const isHere = Bun.which(tool, { PATH }) !== null;
    if (!isHere) leaveOut(`${tool} reading our documents`, "it is not installed");
    test.skipIf(!isHere)(`decode the same with the command line tool ${tool}`, async () => {
      const machine = await createMachine();
      for (const name of ["repodata.json", ...(tool === "zstd" ? ["current_repodata.json", "run_exports.json"] : [])]) {
        const file = join(machine.home, `document${suffix}`);
        await Bun.write(file, await (await fetch(url(name + suffix))).bytes());
        const tested = await run([tool, "--test", file]);
        expect([name, tested.code]).toEqual([name, 0]);
        expect((await run([tool, "--decompress", "--force", "--keep", file])).code).toBe(0);
        const bytes = await Bun.file(join(machine.home, "document")).bytes();
        expect(new Bun.CryptoHasher("sha256").update(bytes).digest("hex")).toBe(await plain(name));
        await rm(join(machine.home, "document"));
      }
      await machine.remove();
    });
  }
});

/** The number of blocks of a zstd frame. https://www.rfc-editor.org/rfc/rfc8878 */
function blocksOf(frame: Uint8Array): number {
  const bytes = Buffer.from(frame);
  const [descriptor = 0] = frame.subarray(4);
  const isSingle = (descriptor & 0x20) !== 0;
  let at = (isSingle ? 5 : 6) + ([isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0);
  for (let count = 1; ; count++) {
    const header = bytes.readUIntLE(at, 3);
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
    if ((header & 1) === 1) return count;
  }
}
