// The files of deploy/: their settings exist, the unit passes systemd's check, and nginx balances two real nodes.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { environmentName, loadConfig, SETTINGS } from "../src/config.ts";
import { PATH, run } from "./e2e/run.ts";
import { builtBinary, startServer, type TestServer } from "./e2e/server.ts";
import { leaveOut } from "./support/left-out.ts";
import { noise } from "./support/noise.ts";
import { buildPackage } from "./support/package-builder.ts";
import { hasPostgres, startPostgres, type Postgres } from "./support/postgres.ts";
import { freePort } from "./support/private-server.ts";
import { codeBlocks, shellLines, theBlock } from "./support/readme.ts";
import { hasVersitygw, startVersitygw, type Versitygw } from "./support/versitygw.ts";

const ROOT = join(import.meta.dir, "..");
const DEPLOY = join(ROOT, "deploy");
const SYSTEM_PATH = `${PATH}:/usr/sbin:/sbin`;
const read = (name: string): Promise<string> => Bun.file(join(DEPLOY, name)).text();
const [unit, settings, site] = await Promise.all(
  ["systemd/condarium@.service", "systemd/condarium.toml", "nginx/condarium.conf"].map(read),
);
const scale = await Bun.file(join(ROOT, "SCALE.md")).text();
const readme = codeBlocks(await Bun.file(join(ROOT, "README.md")).text());

const service = z.looseObject({
  environment: z.record(z.string(), z.string()).default({}),
  volumes: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.unknown()).default({}),
  ports: z.array(z.string()).default([]),
  stop_grace_period: z.string().optional(),
});
const composeShape = z.object({
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.unknown()),
  networks: z.object({
    default: z.object({ ipam: z.object({ config: z.tuple([z.object({ subnet: z.string() })]) }) }),
  }),
});
type Compose = z.infer<typeof composeShape>;

describe("compose.yaml", () => {
  const values: Readonly<Record<string, string>> = {
    POSTGRES_PASSWORD: "secret1",
    S3_SECRET: "secret2",
    PUBLIC_URL: "http://localhost:8080",
  };
  let compose: Compose;
  beforeAll(async () => {
    const text = (await read("compose.yaml")).replaceAll(
      /\$\{(\w+)(?::\?[^}]*)?\}/g,
      (_, name: string) => values[name] ?? `no value of ${name}`,
    );
    compose = composeShape.parse(Bun.YAML.parse(text));
  });
  const one = (name: string) => service.parse(compose.services[name]);

  test("gives each node settings that exist and are accepted, of the database and the bucket beside it", () => {
    for (const name of ["node1", "node2"]) {
      const { environment } = one(name);
      const known = Object.keys(SETTINGS).map(environmentName);
      expect(Object.keys(environment).filter((variable) => !known.includes(variable))).toEqual([]);
      const { config } = loadConfig({ flags: {}, environment });
      const database = new URL(config.database ?? "");
      const { environment: postgres } = one(database.hostname);
      expect([database.username, database.password, database.pathname.slice(1)]).toEqual([
        postgres["POSTGRES_USER"] ?? "",
        postgres["POSTGRES_PASSWORD"] ?? "",
        postgres["POSTGRES_DB"] ?? "",
      ]);
      if (config.storage.kind !== "s3") throw new Error("the packages are in no bucket");
      const s3 = one(new URL(config.storage.endpoint ?? "").hostname);
      expect(s3["command"]).toContain(`:${new URL(config.storage.endpoint ?? "").port}`);
      expect(s3.volumes[0]).toEndWith(`:/buckets/${config.storage.bucket}`);
      expect([config["s3-access-key-id"], config["s3-secret-access-key"]]).toEqual([
        s3.environment["ROOT_ACCESS_KEY"],
        s3.environment["ROOT_SECRET_KEY"],
      ]);
      expect(environment["CONDARIUM_TRUSTED_PROXIES"]).toBe(compose.networks.default.ipam.config[0].subnet);
    }
  });

  test("gives each node a volume of its own, and the time that a shutdown takes", () => {
    const shutdown = Number.parseInt(SETTINGS["shutdown-timeout"].default, 10);
    for (const name of ["node1", "node2"]) {
      expect(one(name).volumes).toEqual([`${name}:/data`]);
      expect(Number.parseInt(one(name).stop_grace_period ?? "", 10)).toBeGreaterThan(shutdown);
    }
  });

  test("names only volumes, files and services that exist", async () => {
    for (const { volumes, depends_on: needs } of Object.values(compose.services)) {
      const sources = volumes.map((volume) => volume.split(":", 1)[0] ?? "");
      const isThere = (source: string): boolean =>
        source.startsWith("./") ? existsSync(join(DEPLOY, source)) : source in compose.volumes;
      expect(sources.filter((source) => !isThere(source))).toEqual([]);
      expect(Object.keys(needs).filter((name) => !(name in compose.services))).toEqual([]);
    }
    const exposed = /^EXPOSE (\d+)$/m.exec(await Bun.file(join(ROOT, "Dockerfile")).text())?.[1];
    expect(serversIn(await read("nginx/upstream-compose.conf"))).toEqual([`node1:${exposed}`, `node2:${exposed}`]);
    expect(one("nginx").ports).toEqual([`8080:${/listen (\d+);/.exec(site ?? "")?.[1]}`]);
  });
});

describe("the unit of systemd", () => {
  test("passes systemd's check", async () => {
    const systemdAnalyze = Bun.which("systemd-analyze", { PATH: SYSTEM_PATH });
    if (systemdAnalyze === null) return leaveOut("deploy/systemd", "systemd-analyze is missing");
    const room = await mkdtemp(join(tmpdir(), "condarium-unit-"));
    try {
      await Bun.write(
        join(room, "condarium@.service"),
        (unit ?? "").replace("/usr/local/bin/condarium", builtBinary()),
      );
      const ran = await run([systemdAnalyze, "verify", "--man=no", join(room, "condarium@8081.service")]);
      expect([ran.code, ran.stderr, ran.stdout]).toEqual([0, "", ""]);
    } finally {
      await rm(room, { recursive: true });
    }
  });

  test("protects a node as README.md's unit protects a server", () => {
    const linesOf = (text: string): string[] => text.split("\n").filter((line) => /^\w+=/.test(line));
    const own = new Set(linesOf(unit ?? ""));
    const missing = linesOf(theBlock(readme, "ini")).filter((line) => !own.has(line));
    const replaced = ["Description", "After", "StateDirectory", "Environment", "ExecStart"];
    expect(missing.map((line) => line.split("=", 1)[0])).toEqual(replaced);
  });

  test("starts nodes on the ports of nginx, with settings that are accepted", async () => {
    const nodes = serversIn(await read("nginx/upstream-systemd.conf"));
    const names = /enable --now (.*)`/.exec(unit ?? "")?.[1]?.split(" ") ?? [];
    expect(nodes).toEqual(names.map((name) => name.replace("condarium@", "127.0.0.1:")));
    const environment = Object.fromEntries(
      [...(unit ?? "").matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name = "", value = ""]) => [
        name,
        value.replaceAll("%i", "8081"),
      ]),
    );
    const file = { name: "condarium.toml", text: settings ?? "" };
    const { config } = loadConfig({ flags: {}, environment, file });
    expect([config.data, config.storage.kind]).toEqual(["/var/lib/condarium/8081", "s3"]);
    expect(new URL(config.database ?? "").protocol).toBe("postgres:");
  });
});

test("nginx passes requests as README.md's nginx does, but to several nodes", () => {
  const words = (text: string): string[] =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => /^(?:proxy|client|access)_\w+ /.test(line));
  const passed = new Set(words(site ?? ""));
  expect(words(theBlock(readme, "nginx")).filter((line) => !passed.has(line))).toEqual([
    "proxy_pass http://127.0.0.1:8080;",
  ]);
});

test("SCALE.md moves a registry to the database, the bucket and the nodes of the settings file", () => {
  const lines = shellLines(codeBlocks(scale));
  const { config } = loadConfig({ flags: {}, environment: {}, file: { name: "file", text: settings ?? "" } });
  expect([config.storage.kind, config.database]).toEqual(["s3", expect.stringContaining("postgres://")]);
  const names = /enable --now (.*)`/.exec(unit ?? "")?.[1] ?? "none";
  expect(lines).toContain(`sudo systemctl enable --now ${names}`);
  const file = /--config (\S+)/.exec(unit ?? "")?.[1] ?? "none";
  for (const command of ["restore", "verify"]) {
    const line = lines.find((one) => one.includes(`condarium ${command} `));
    expect(line).toContain(` --config ${file} --data /var/lib/condarium/`);
  }
});

const nginx = Bun.which("nginx", { PATH: SYSTEM_PATH });
const hasServices = [hasPostgres("nginx before two nodes"), hasVersitygw("nginx before two nodes")].every(Boolean);
if (nginx === null) leaveOut("nginx before two nodes", "nginx is missing");

describe.skipIf(nginx === null || !hasServices)("two nodes on PostgreSQL and S3 behind nginx", () => {
  let room: string;
  let postgres: Postgres;
  let s3: Versitygw;
  let nodes: TestServer[] = [];
  let proxy: Bun.Subprocess | undefined;
  let url: string;
  let token: string;
  let database: string;

  beforeAll(async () => {
    room = await mkdtemp(join(tmpdir(), "condarium-deploy-"));
    [postgres, s3] = await Promise.all([startPostgres(), startVersitygw()]);
    const file = join(room, "condarium.toml");
    await Bun.write(file, await filledSettings());
    const start = (): Promise<TestServer> => startServer({ settings: ["--config", file, "--min-free-space", "1MiB"] });
    // At the same time, as an init system starts them on an empty database: only one creates the administrator.
    nodes = await Promise.all([start(), start()]);
    expect(nodes.filter(({ adminPassword }) => adminPassword !== "")).toHaveLength(1);
    const create = ["token", "create", "admin", "--name", "ci", "--scope", "all", "--config", file];
    const made = await nodeAt(0).condarium(create);
    expect(made.code).toBe(0);
    token = made.stdout.trim();
    await startNginx();
  });
  afterAll(async () => {
    proxy?.kill();
    await proxy?.exited;
    for (const node of nodes) await node.stop();
    await Promise.all([postgres.close(), s3.close()]);
    await rm(room, { recursive: true });
  });

  const nodeAt = (at: number): TestServer => {
    const node = nodes[at];
    if (!node) throw new Error(`there is no node ${at}`);
    return node;
  };

  async function filledSettings(): Promise<string> {
    database = await postgres.createDatabase();
    const values: Readonly<Record<string, string>> = {
      database,
      storage: `s3://${await s3.createBucket()}/condarium?endpoint=${encodeURIComponent(s3.endpoint)}&path-style=true`,
      "s3-access-key-id": s3.accessKey,
      "s3-secret-access-key": s3.secretKey,
    };
    // Without an outer URL, a node prints the address that it listens on.
    const [, ...inner] = (settings ?? "").split(/^public-url = .*\n/m);
    return inner
      .join("")
      .replaceAll(/^([\w-]+) = "(.*)"$/gm, (line, name: string) =>
        name in values ? `${name} = ${JSON.stringify(values[name])}` : line,
      );
  }

  async function startNginx(): Promise<void> {
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    let upstream = await read("nginx/upstream-systemd.conf");
    for (const [at, address] of serversIn(upstream).entries()) upstream = upstream.replace(address, nodeAt(at).host);
    const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    const temporary = folders.map((kind) => `${kind}_temp_path ${room}/${kind};`).join(" ");
    const config = join(room, "nginx.conf");
    await mkdir(join(room, "conf.d"));
    await Bun.write(join(room, "conf.d/upstream.conf"), upstream);
    await Bun.write(join(room, "conf.d/site.conf"), (site ?? "").replace("listen 80;", `listen 127.0.0.1:${port};`));
    await Bun.write(
      config,
      `daemon off; master_process off; pid ${room}/pid; events {} http { ${temporary} include ${room}/conf.d/*.conf; }`,
    );
    const checked = await run([nginx ?? "", "-t", "-e", "stderr", "-c", config]);
    expect([checked.code, checked.stderr]).toEqual([0, expect.not.stringContaining("[warn]")]);
    proxy = Bun.spawn([nginx ?? "", "-e", "stderr", "-c", config], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    while (
      !(await fetch(`${url}/health/live`).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await Bun.sleep(20);
  }

  async function put(name: string, files: Record<string, Uint8Array> = {}): Promise<Uint8Array> {
    const built = buildPackage({ name, version: "1", files });
    const path = join(room, built.fileName);
    await Bun.write(path, built.bytes);
    const sent = await run(
      [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--noproxy",
        "*",
        "--header",
        `Authorization: Bearer ${token}`,
        "--upload-file",
        path,
        `${url}/api/packages/admin/conda/main/`,
      ],
      { env: { PATH, HOME: room } },
    );
    expect({ name, code: sent.code, said: sent.code === 0 ? "" : sent.stdout + sent.stderr }).toEqual({
      name,
      code: 0,
      said: "",
    });
    return new Uint8Array(built.bytes);
  }

  const namesAt = async (base: string): Promise<string[]> => {
    const answer = await fetch(`${base}/admin/main/noarch/repodata.json`);
    const shape = z.object({ "packages.conda": z.record(z.string(), z.unknown()) });
    return Object.keys(shape.parse(await answer.json())["packages.conda"]);
  };

  test("a package larger than nginx's default limit is on both, with the same bytes, ranges and ETags", async () => {
    const bytes = await put("large", { "share/large": noise(3_000_000) });
    const last = bytes.byteLength - 1;
    for (const base of [url, nodeAt(0).url, nodeAt(1).url]) {
      const at = `${base}/admin/main/noarch/large-1-0.conda`;
      expect(Buffer.compare(await (await fetch(at)).bytes(), bytes)).toBe(0);
      const part = await fetch(at, { headers: { range: `bytes=1000000-${last}` } });
      expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes 1000000-${last}/${last + 1}`]);
      expect(Buffer.compare(await part.bytes(), bytes.subarray(1_000_000))).toBe(0);
    }
    for (const document of ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"]) {
      const answers = await Promise.all(nodes.map((node) => fetch(`${node.url}/admin/main/noarch/${document}`)));
      const [a, b] = await Promise.all(
        answers.map(async (answer) => [answer.headers.get("etag"), Buffer.from(await answer.bytes()).toString("hex")]),
      );
      expect(a).toEqual(b);
    }
  });

  test("both nodes get requests, and each shows at once what the other acknowledged", async () => {
    for (let at = 0; at < 8; at++) {
      await put(`turn-${at}`);
      for (const node of nodes) expect(await namesAt(node.url)).toContain(`turn-${at}-1-0.conda`);
    }
    // A node of a start and of some publishes has opened most of them.
    const [, most] = /count (\d+) for each process/.exec(scale) ?? [];
    const connections = (await postgres.connectionCount(database)) / nodes.length;
    expect([connections > 6, connections <= Number(most)]).toEqual([true, true]);
    for (const node of nodes) expect((await node.requests(({ method }) => method === "PUT")).length).toBeGreaterThan(1);
  });

  test("requests go on while one node is stopped, and the log of no node has the token", async () => {
    const [first, second] = [nodeAt(0), nodeAt(1)];
    expect(await first.stop()).toBe(0);
    nodes = [second];
    for (let at = 0; at < 6; at++) {
      await put(`alone-${at}`);
      expect(await namesAt(url)).toContain(`alone-${at}-1-0.conda`);
    }
    for (const node of [first, second]) expect(node.log()).not.toContain(token);
  });
});

function serversIn(upstream: string): string[] {
  return [...upstream.matchAll(/^\s+server (\S+) /gm)].map((match) => match[1] ?? "");
}
