// `upload`: one package of 1.57 GB, compared with plainly writing and with hashing it.

import { closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";

import { output } from "../e2e/run.ts";
import { type Bench, GB, MB, type Measurement, seconds } from "./bench.ts";
import { largePackage } from "./large-package.ts";
import type { Row } from "./report.ts";
import { type MeasuredServer, withServer } from "./server.ts";

type Sample = { readonly upload: number; readonly write: number; readonly hash: number; readonly memory: number };

const CHUNK = 1024 ** 2;

export const upload: Measurement = { name: "upload", space: 8 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  const path = await largePackage();
  const { size } = statSync(path);
  const samples: Sample[] = [];
  for (let run = 0; run < bench.runs; run += 1) samples.push(await sample(bench, path));
  const rate = (key: "upload" | "write" | "hash"): number[] => samples.map((each) => size / MB / each[key]);
  const slower = samples.map(({ write, hash }) => size / MB / Math.max(write, hash));
  const memory = samples.map((each) => each.memory / MB);
  const hasMemory = memory.every((each) => each > 0);
  if (!hasMemory) bench.leaveOut("upload: memory", "the system does not tell it");
  const limit = { of: "value", is: "at most", number: 200 } as const;
  return [
    {
      what: `upload of ${(size / GB).toFixed(2)} GB`,
      unit: "MB/s",
      samples: rate("upload"),
      peer: { name: "slower of the two below", samples: slower },
      target: { of: "ratio", is: "at least", number: 0.8 },
    },
    { what: "plain write and fsync of it", unit: "MB/s", samples: rate("write") },
    { what: "its sha256 and md5 in one thread", unit: "MB/s", samples: rate("hash") },
    { what: "upload, time", unit: "s", samples: samples.map((each) => each.upload) },
    ...(hasMemory ? [{ what: "peak memory of the server", unit: "MB", samples: memory, target: limit }] : []),
  ];
}

async function sample(bench: Bench, path: string): Promise<Sample> {
  const copy = join(bench.room, "copy");
  await settle();
  const write = await seconds(async () => writePlainly(path, copy));
  await rm(copy);
  const hash = await seconds(async () => hashPlainly(path));
  let data = "";
  try {
    return await withServer(bench, async (server) => {
      data = server.dataDir;
      await settle();
      const took = await seconds(() => send(server, path));
      return { upload: took, write, hash, memory: (await server.peakMemory()) ?? 0 };
    });
  } finally {
    // Few files, but the disk has no space for the data of every run.
    await rm(data, { recursive: true, force: true });
  }
}

async function send(server: MeasuredServer, path: string): Promise<void> {
  const address = `${server.url}/api/packages/admin/conda/main/${basename(path)}`;
  const authorization = `Bearer ${server.token}`;
  const status = Bun.which("curl")
    ? await sendWithCurl(path, address, authorization)
    : (await fetch(address, { method: "PUT", headers: { authorization }, body: Bun.file(path) })).status;
  if (status !== 201) throw new Error(`the upload was answered ${status}`);
}

async function sendWithCurl(path: string, address: string, authorization: string): Promise<number> {
  const options = ["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{http_code}"];
  const command = ["curl", ...options, "--header", `Authorization: ${authorization}`, "--upload-file", path, address];
  return Number(await output(command, { timeoutMs: 600_000 }));
}

/** Lets the disk finish the work that earlier steps left. */
async function settle(): Promise<void> {
  await output(["sync"], { timeoutMs: 600_000 });
}

function writePlainly(from: string, to: string): void {
  const file = openSync(to, "wx");
  for (const chunk of chunksOf(from)) writeSync(file, chunk);
  fsyncSync(file);
  closeSync(file);
}

function hashPlainly(path: string): void {
  const hashes = [new Bun.CryptoHasher("sha256"), new Bun.CryptoHasher("md5")];
  for (const chunk of chunksOf(path)) for (const hash of hashes) hash.update(chunk);
  for (const hash of hashes) hash.digest("hex");
}

function* chunksOf(path: string): Generator<Uint8Array> {
  const file = openSync(path, "r");
  const buffer = Buffer.alloc(CHUNK);
  for (;;) {
    const count = readSync(file, buffer);
    if (count === 0) break;
    yield buffer.subarray(0, count);
  }
  closeSync(file);
}
