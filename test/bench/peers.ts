// nginx as the peer that serves the same files, and wrk as the client.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { z } from "zod";

import { output } from "../e2e/run.ts";
import type { Bench } from "./bench.ts";
import { freePort, listening, startProcess } from "./processes.ts";

export type Throughput = { readonly requestsPerSecond: number; readonly bytesPerSecond: number };

const SECONDS = 4;
const CONNECTIONS = 16;

const wrkResult = z.object({ requests: z.number(), bytes: z.number(), seconds: z.number(), failed: z.number() });

/** Reports a missing tool once. */
export function hasPeers(bench: Bench, measurement: string): boolean {
  const missing = [nginxCommand() ? [] : ["nginx"], Bun.which("wrk") ? [] : ["wrk"]].flat();
  if (missing.length > 0) bench.leaveOut(measurement, `${missing.join(" and ")} not installed`);
  return missing.length === 0;
}

/** Runs `work` beside an nginx that serves these files under their names. */
export async function withNginx<T>(
  bench: Bench,
  files: Readonly<Record<string, Uint8Array>>,
  work: (url: string) => Promise<T>,
): Promise<T> {
  const folder = join(bench.room, `nginx-${crypto.randomUUID()}`);
  await mkdir(join(folder, "files"), { recursive: true });
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, "files", name), bytes);
  const port = freePort();
  await writeFile(join(folder, "nginx.conf"), configuration(folder, port));
  const command = [nginxCommand() ?? "nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
  const process = startProcess(command, { cwd: folder, log: join(folder, "log") });
  try {
    await listening(port, process);
    return await work(`http://127.0.0.1:${port}`);
  } finally {
    await process.stop();
  }
}

export type LoadOptions = {
  readonly seconds?: number;
  readonly headers?: readonly string[];
  readonly connections?: number;
  /** The core that the client runs on; any unless given. */
  readonly core?: number;
};

/** Repeats requests for one address over kept connections. */
export async function getAgain(bench: Bench, url: string, options: LoadOptions = {}): Promise<Throughput> {
  const { seconds = SECONDS, headers = [], connections = CONNECTIONS, core } = options;
  const script = join(bench.room, "wrk.lua");
  await writeFile(script, REPORT_SCRIPT);
  const pinned = core === undefined ? [] : ["taskset", "--cpu-list", String(core)];
  const command = [...pinned, "wrk", "--threads", "1", "--connections", String(connections)];
  const more = headers.flatMap((header) => ["--header", header]);
  const printed = await output([
    ...command,
    "--duration",
    `${seconds}s`,
    "--timeout",
    "30s",
    "--script",
    script,
    ...more,
    url,
  ]);
  const result = wrkResult.parse(JSON.parse(printed.trim().split("\n").at(-1) ?? ""));
  if (result.failed > 0) throw new Error(`${result.failed} of the requests for ${url} failed`);
  return { requestsPerSecond: result.requests / result.seconds, bytesPerSecond: result.bytes / result.seconds };
}

const REPORT_SCRIPT = `
done = function(summary)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"bytes":%d,"seconds":%f,"failed":%d}\\n', summary.requests, summary.bytes,
    summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
`;

function nginxCommand(): string | undefined {
  return Bun.which("nginx") ?? Bun.which("nginx", { PATH: "/usr/sbin:/usr/local/sbin" }) ?? undefined;
}

function configuration(folder: string, port: number): string {
  // Only its owner can read the folder, and root's nginx would run its workers as another user.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `
${user}
daemon off;
worker_processes 2;
pid ${folder}/pid;
events { worker_connections 512; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  gzip_static on;
  gzip_vary on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  ${scratch.join("\n  ")}
  server { listen 127.0.0.1:${port}; root ${folder}/files; }
}
`;
}
