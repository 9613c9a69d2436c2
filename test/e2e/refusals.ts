// Uploads that the server refuses before their end, sent by curl: directly, and through nginx as the README sets it up.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { output, run } from "./run.ts";
import { startServer, type TestServer } from "./server.ts";

/** How curl reaches the server. */
const ROUTES = ["directly", "through nginx", "through nginx with TLS"] as const;
type RouteName = (typeof ROUTES)[number];
const SIZES = [1_000_000, 8_000_000, 40_000_000] as const;
/** Most of the time is spent waiting. */
const AT_ONCE = 10;
const STATUSES = [400, 401, 403, 404, 405, 409, 413, 415] as const;

type Refusals = {
  /** The statuses that curl saw, each with its count. */
  send(route: RouteName, status: number, size: number, times: number): Promise<Readonly<Record<string, number>>>;
  stop(): Promise<void>;
};

const nginx: string | null = Bun.which("nginx") ?? Bun.which("nginx", { PATH: "/usr/sbin:/usr/local/sbin" });
const hasNginx: boolean = nginx !== null && Bun.which("openssl") !== null && Bun.which("curl") !== null;

/** What curl sends for a status, and where. */
type Sent = { readonly path: string; readonly options: readonly string[]; readonly method?: string };

/** Tests that every status arrives on every route, at every size. */
export function describeRefusals({ times, limitMs }: { readonly times: number; readonly limitMs: number }): void {
  describe.skipIf(!hasNginx)("the status of a refused upload", () => {
    let refusals: Refusals;
    beforeAll(async () => {
      refusals = await startRefusals();
    });
    afterAll(() => refusals.stop());

    for (const route of ROUTES) {
      test.each(STATUSES)(
        `%d reaches curl ${route} every time`,
        async (status) => {
          for (const size of SIZES)
            expect([size, await refusals.send(route, status, size, times)]).toEqual([size, { [status]: times }]);
        },
        limitMs,
      );
    }
  });
}

async function startRefusals(): Promise<Refusals> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-refusals-"));
  // The workers of root's nginx are another user.
  await chmod(folder, 0o755);
  const [server, small] = [await startServer(), await startServer({ settings: ["--max-upload-size", "500KB"] })];
  const [alice, bob] = [await server.createUser("alice"), await server.createUser("bob")];
  const carol = await small.createUser("alice");
  for (const size of SIZES) await Bun.write(join(folder, String(size)), new Uint8Array(size).fill(120));
  const taken = "/api/packages/alice/generic/taken/1/file";
  const signedIn = ["--user", `alice:${alice.password}`];
  await output([
    "curl",
    "--silent",
    "--fail",
    ...signedIn,
    "--data-binary",
    "x",
    "--request",
    "PUT",
    server.url + taken,
  ]);
  const conda = "/api/packages/alice/conda/refused/nothing-1.0-0.conda";
  const sent: Readonly<Record<number, Sent>> = {
    400: { path: conda, options: [...signedIn, "--header", "X-Checksum-Sha256: abc"] },
    401: { path: conda, options: ["--header", "Authorization: Bearer no-such-token"] },
    403: { path: conda, options: ["--user", `bob:${bob.password}`] },
    404: { path: "/api/v1/nothing", options: signedIn },
    405: { path: conda, options: signedIn, method: "POST" },
    409: { path: taken, options: signedIn },
    413: { path: conda, options: ["--user", `alice:${carol.password}`, "--header", "Transfer-Encoding: chunked"] },
    415: { path: conda, options: [...signedIn, "--header", "Content-Encoding: gzip"] },
  };
  const proxies = [await startNginx(folder, "large", server), await startNginx(folder, "small", small)];
  const [large, limited] = proxies;
  return {
    send: async (route, status, size, times) => {
      const { path, options, method = "PUT" } = sent[status] ?? { path: "", options: [] };
      const url = addressOf(route, status === 413 ? small : server, status === 413 ? limited : large) + path;
      const body = ["--request", method, "--upload-file", join(folder, String(size))];
      const command = ["curl", "--silent", "--insecure", "--output", "/dev/null", "--write-out", "%{http_code}"];
      const seen: Record<string, number> = {};
      const one = async (): Promise<void> => {
        const { code, stdout } = await run([...command, ...options, ...body, url]);
        const outcome = code === 0 ? stdout : `${stdout} and exit code ${code}`;
        seen[outcome] = (seen[outcome] ?? 0) + 1;
      };
      for (let done = 0; done < times; done += AT_ONCE) {
        await Promise.all(Array.from({ length: Math.min(AT_ONCE, times - done) }, one));
      }
      return seen;
    },
    stop: async () => {
      for (const { process } of proxies) {
        process.kill();
        await process.exited;
      }
      await Promise.all([server.stop(), small.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

type Proxy = { readonly plain: number; readonly tls: number; readonly process: Bun.Subprocess };

function addressOf(route: RouteName, server: TestServer, proxy: Proxy | undefined): string {
  if (route === "directly") return server.url;
  return route === "through nginx" ? `http://127.0.0.1:${proxy?.plain}` : `https://127.0.0.1:${proxy?.tls}`;
}

async function startNginx(folder: string, name: string, server: TestServer): Promise<Proxy> {
  const [plain, tls] = [freePort(), freePort()];
  const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();
  const location = /```nginx\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  const subject = ["-subj", "/CN=localhost", "-days", "1", "-keyout", key, "-out", certificate];
  await output(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject]);
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (part) => `${part}_temp_path ${folder}/${part};`,
  );
  const configuration = `daemon off; worker_processes 1; pid ${folder}/${name}.pid; error_log ${folder}/${name}.log;
    events {}
    http { ${scratch.join(" ")} server {
      listen 127.0.0.1:${plain}; listen 127.0.0.1:${tls} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key};
      ${location.replace("127.0.0.1:8080", server.host)}
    } }`;
  const file = join(folder, `${name}.conf`);
  await Bun.write(file, configuration);
  const process = Bun.spawn([nginx ?? "nginx", "-e", `${folder}/${name}.log`, "-c", file], {
    stdout: "ignore",
    stderr: "ignore",
  });
  for (let tries = 0; ; tries += 1) {
    const { code } = await run(["curl", "--silent", "--output", "/dev/null", `http://127.0.0.1:${plain}/health/live`]);
    if (code === 0) return { plain, tls, process };
    if (tries > 100) throw new Error("nginx does not start");
    await Bun.sleep(50);
  }
}

function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = server;
  server.stop(true);
  return port;
}
