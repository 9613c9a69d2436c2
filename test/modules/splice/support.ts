// Shared by the tests of splicing: texts that are hard to splice, and independent decoders.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { leaveOut } from "../../support/left-out.ts";

export type Random = () => number;

/** The same numbers of [0, 1) for the same seed. */
export function createRandom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes of `values` different values, random otherwise. */
export function noise(length: number, values = 256, seed = 1): Uint8Array {
  const random = createRandom(seed);
  return Uint8Array.from({ length }, () => Math.floor(random() * values) + (values < 64 ? 97 : 0));
}

/** `pattern` repeated. */
export function repeated(pattern: string, length: number): Uint8Array {
  return Buffer.alloc(length, pattern);
}

const WORDS =
  "numpy scipy lib gcc gfortran boost arrow proj hdf5 netcdf cuda torch text data http yaml xml core tools".split(" ");

/** Segments as in a `repodata.json`: records of many packages, several builds of each, ending near `segmentBytes`. */
export function repodataSegments(bytes: number, segmentBytes: number, seed = 7): Uint8Array[] {
  const random = createRandom(seed);
  const upTo = (limit: number): number => Math.floor(random() * limit);
  const hex = (digits: number): string => Array.from({ length: digits }, () => upTo(16).toString(16)).join("");
  const word = (): string => WORDS[upTo(WORDS.length)] ?? "";
  const segments: Uint8Array[] = [];
  let [records, length, total]: [string[], number, number] = [[], 0, 0];
  while (total < bytes) {
    const name = `${word()}-${word()}${upTo(10)}`;
    const pins = Array.from(
      { length: 2 + upTo(8) },
      () => `${word()}-${word()} >=${upTo(9)}.${upTo(20)},<${upTo(9)}.0a0`,
    );
    for (let version = `${upTo(4)}.${upTo(30)}.${upTo(9)}`, build = 0; build < 6; build += 1) {
      const tag = `py${38 + build}h${hex(7)}_${upTo(3)}`;
      const file = `${name}-${version}-${tag}.conda`;
      const depends = [...pins, `python >=3.${8 + build},<3.${9 + build}.0a0`];
      const known = { build: tag, build_number: upTo(3), depends, license: "MIT", md5: hex(32), name, sha256: hex(64) };
      const record = { ...known, size: upTo(5e6), subdir: "linux-64", timestamp: 1.6e12 + upTo(1e11), version };
      const text = `"${file}":${JSON.stringify(record)}`;
      records.push(text);
      length += text.length + 1;
    }
    if (length < segmentBytes) continue;
    segments.push(Buffer.from(records.join(",")));
    total += length;
    [records, length] = [[], 0];
  }
  return segments;
}

/** Finds a program; without it, reports the tests that need it as left out. */
export function findTool(name: string): string | undefined {
  const path = Bun.which(name);
  if (path === null) leaveOut("splice", `there is no ${name} to decode with`);
  return path ?? undefined;
}

/** The interpreter of the end-to-end tests, which has `zstandard`. */
export function findPython(): string | undefined {
  const [path] = new Bun.Glob(".cache/python-*/bin/python").scanSync({
    cwd: join(import.meta.dir, "../../.."),
    absolute: true,
    dot: true,
    onlyFiles: false,
  });
  if (path === undefined) leaveOut("splice", "there is no Python with zstandard to decode with");
  return path;
}

/** The output of a filter for the bytes; throws its error output when it fails. */
export function filter(command: readonly string[], bytes: Uint8Array): Buffer {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { stdin: bytes });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
}

/** Runs a script over files `0`, `1`, … of these bytes; it prints one JSON value for each, in order. */
export function runPython<T>(python: string, script: string, files: readonly Uint8Array[]): T[] {
  const folder = mkdtempSync(join(tmpdir(), "condarium-splice-"));
  try {
    for (const [index, bytes] of files.entries()) writeFileSync(join(folder, String(index)), bytes);
    const printed = filter([python, "-c", script, folder, String(files.length)], new Uint8Array(0)).toString();
    return printed
      .trim()
      .split("\n")
      .map((line): T => JSON.parse(line));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
