// How other readers read the packages that the server accepts: Python's tarfile and zipfile, conda-package-streaming,
// libarchive with the calls of mamba, and rattler in its three ways. Every difference is reported.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { decompressBzip2 } from "../../src/modules/archive/bzip2.ts";
import { createMeter } from "../../src/modules/archive/limits.ts";
import type { TarMember } from "../../src/modules/archive/tar-member.ts";
import { walkTar } from "../../src/modules/archive/tar.ts";
import { readZip } from "../../src/modules/archive/zip.ts";
import { decompressZstd } from "../../src/modules/archive/zstd.ts";
import { ARCHIVE_LIMITS, type ArchiveFormat } from "../../src/modules/conda/archive.ts";
import { inspectArchive } from "../../src/modules/conda/inspect-archive.ts";
import { python } from "../e2e/clients.ts";
import { withOpenFile } from "../modules/archive/support.ts";
import { readFileList } from "../modules/conda/archive-support.ts";
import { leaveOut } from "./left-out.ts";

export type Sample = {
  /** Says how to rebuild it. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly fileName: string;
};

export type Difference = { readonly sample: Sample; readonly reader: string; readonly what: string };

export type Comparison = {
  readonly accepted: readonly Sample[];
  readonly differences: readonly Difference[];
  /** How often each rule refused a sample. */
  readonly refusals: ReadonlyMap<string, number>;
};

/** Warnings about features that one of rattler's ways does not support, and another does. */
const UNREAD: Readonly<Record<string, readonly string[]>> = {
  rattler: ["zip-data-descriptor"],
  "rattler-stream": ["zip-deflated-member"],
};

type Member = [path: string, type: string, size: number, mode: number, sha256: string, link: string];
type Reading = { readonly names: readonly string[]; readonly members: readonly Member[] };

const READERS = ["tarfile", "conda", "mamba", "rattler", "rattler-download", "rattler-stream"] as const;
/** These packages lack a part by which conda finds their contents; each gets a warning, or a strict refusal. */
const INCOMPLETE = ["conda-stem", "conda-no-payload"];
/** Reading thousands of packages does not wait for the disk there. */
const MEMORY = "/dev/shm";
/** rattler unpacks the root as a member, but does not list it. */
const UNLISTED_ROOT = /invalid package-relative archive path: \.\/?$/;
/** Far more than a reader of a thousand small packages needs. */
const CRASHES = 20;

const answer = z.object({
  id: z.string(),
  error: z.string().optional(),
  names: z.array(z.string()).optional(),
  members: z.array(z.tuple([z.string(), z.string(), z.number(), z.number(), z.string(), z.string()])).optional(),
  entries: z.record(z.string(), z.tuple([z.string(), z.number(), z.string(), z.string()])).optional(),
  tree: z.record(z.string(), z.array(z.union([z.string(), z.number(), z.boolean()]))).optional(),
});

/** Inspects the samples, and lets every reader read the accepted ones. */
export async function compareReaders(samples: Iterable<Sample>): Promise<Comparison> {
  const folder = await mkdtemp(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "condarium-readers-"));
  try {
    const accepted = new Map<string, { sample: Sample; reading: Reading; warnings: readonly string[] }>();
    const refusals = new Map<string, number>();
    await mkdir(join(folder, "packages"));
    let count = 0;
    for (const sample of samples) {
      const id = String((count += 1));
      const { fileName } = sample;
      const path = join(folder, "packages", id, fileName);
      await Bun.write(path, sample.bytes);
      const inspection = await inspectArchive(path, { fileName, limits: ARCHIVE_LIMITS });
      const warnings = inspection.findings.map(({ rule }) => rule);
      const isComplete = !warnings.some((rule) => INCOMPLETE.includes(rule));
      if (inspection.kind === "accepted" && isComplete && inspection.identity.fileName === fileName) {
        const reading = await readOurselves(path, inspection.format);
        checkFileList(inspection.fileList, reading);
        accepted.set(id, { sample, reading, warnings });
        continue;
      }
      const rule = inspection.kind === "refused" ? (warnings[0] ?? "") : "incomplete";
      refusals.set(rule, (refusals.get(rule) ?? 0) + 1);
      await rm(join(folder, "packages", id), { recursive: true });
    }
    const readers = await Promise.all(READERS.map((reader) => askReader(reader, folder, accepted.size)));
    const differences = readers.flatMap((answers, at) =>
      [...accepted].flatMap(([id, { sample, reading, warnings }]) => {
        const reader = READERS[at] ?? "";
        if (UNREAD[reader]?.some((rule) => warnings.includes(rule)) === true) return [];
        const what = differenceOf(reading, answers.get(id));
        return what === undefined ? [] : [{ sample, reader, what }];
      }),
    );
    return { accepted: [...accepted.values()].map(({ sample }) => sample), differences, refusals };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Whether libarchive is installed; reports it as left out otherwise, because nothing else reads as mamba does. */
export async function haveLibarchive(): Promise<boolean> {
  try {
    await python("read_archives.py", ["", "", ""], z.string());
    return true;
  } catch (error) {
    leaveOut(
      "libarchive as a reader of packages",
      String(error).includes("not installed") ? "not installed" : "broken",
    );
    return false;
  }
}

function checkFileList(fileList: Uint8Array, { members }: Reading): void {
  const listed = readFileList(fileList).map(({ path, type, size, mode }) => [path, type, size, mode]);
  const read = members.map((member) => member.slice(0, 4));
  const inOrder = (lines: readonly unknown[]): string =>
    JSON.stringify(lines.map((line) => JSON.stringify(line)).toSorted());
  if (inOrder(listed) !== inOrder(read)) throw new Error("the inspection lists other members than are read");
}

async function readOurselves(path: string, format: ArchiveFormat): Promise<Reading> {
  if (format === "tar.bz2") {
    return { names: [], members: await listTar(decompressBzip2([await Bun.file(path).bytes()])) };
  }
  return withOpenFile(path, async (fd) => {
    const entries = readZip(fd, Bun.file(path).size, { warn: () => {} }).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const members: Member[] = [];
    for (const { name, read } of entries) {
      if (!name.endsWith(".tar.zst")) continue;
      members.push(...(await listTar(decompressZstd(read(), { path: name, windowLog: ARCHIVE_LIMITS.zstdWindowLog }))));
    }
    return { names: entries.map(({ name }) => name), members };
  });
}

async function listTar(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Member[]> {
  const members: Member[] = [];
  const describe = ({ path, type, size, mode, link }: TarMember, bytes: Uint8Array): Member => [
    path,
    type,
    size,
    mode,
    sha256(bytes),
    link,
  ];
  const visitor = {
    member(member: TarMember): boolean {
      members.push(describe(member, new Uint8Array(0)));
      return true;
    },
    contents(member: TarMember, bytes: Uint8Array): void {
      members[members.length - 1] = describe(member, bytes);
    },
  };
  await walkTar(chunks, visitor, createMeter({ bytes: Infinity, members: Infinity }));
  return members;
}

/** The results of a reader by sample. A reader that crashes on a sample does not read that sample again. */
async function askReader(
  reader: string,
  folder: string,
  count: number,
): Promise<ReadonlyMap<string, z.infer<typeof answer>>> {
  const results = join(folder, `${reader}.jsonl`);
  await Bun.write(results, "");
  for (let crashes = 0; ; crashes += 1) {
    const failure = await python("read_archives.py", [reader, join(folder, "packages"), results], z.literal(true)).then(
      () => undefined,
      String,
    );
    const lines = (await Bun.file(results).text()).split("\n").slice(0, -1);
    const answers = new Map(lines.map((line) => answer.parse(JSON.parse(line))).map((one) => [one.id, one]));
    if (failure === undefined && answers.size === count) return answers;
    if (crashes === CRASHES)
      throw new Error(`${reader} crashes again and again: ${failure ?? "it leaves packages out"}`);
    const ids = [...new Bun.Glob("*/*").scanSync(join(folder, "packages"))].map((path) => path.split("/")[0] ?? "");
    const next = ids.map(Number).filter((id) => !answers.has(String(id)));
    const crashed = { id: String(Math.min(...next)), error: `the reader crashed: ${failure ?? ""}` };
    await Bun.write(results, `${[...lines, JSON.stringify(crashed)].join("\n")}\n`);
  }
}

function differenceOf(reading: Reading, found: z.infer<typeof answer> | undefined): string | undefined {
  if (found === undefined) return "it gives no answer";
  if (found.error !== undefined && UNLISTED_ROOT.test(found.error)) return undefined;
  if (found.error !== undefined) return `it fails: ${found.error.slice(0, 300)}`;
  if (found.tree !== undefined) return firstDifference(treeOf(reading.members), found.tree);
  if (found.entries !== undefined) return firstDifference(entriesOf(reading.members), found.entries);
  if (JSON.stringify(found.names ?? []) !== JSON.stringify(reading.names)) return "it lists other members of the ZIP";
  const byPlace = (members: readonly unknown[] = []): Record<string, unknown> => Object.fromEntries(members.entries());
  return firstDifference(byPlace(reading.members), byPlace(found.members));
}

function firstDifference(
  ours: Readonly<Record<string, unknown>>,
  theirs: Readonly<Record<string, unknown>>,
): string | undefined {
  for (const key of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const [mine, other] = [JSON.stringify(ours[key]), JSON.stringify(theirs[key])];
    if (mine !== other) return `${JSON.stringify(key)} is ${other} to it and ${mine} to us`;
  }
  return undefined;
}

function entriesOf(members: readonly Member[]): Record<string, unknown> {
  const leaves = members.filter(([, type]) => type !== "directory");
  return Object.fromEntries(leaves.map(([path, type, size, , hash, link]) => [path, [type, size, hash, link]]));
}

/** The members in a folder after unpacking, in the format of `read_archives.py`. */
function treeOf(members: readonly Member[]): Record<string, unknown> {
  const tree: Record<string, (string | number | boolean)[]> = {};
  for (const [path, type, size, mode, hash, link] of members) {
    for (let end = path.indexOf("/"); end !== -1; end = path.indexOf("/", end + 1)) {
      tree[path.slice(0, end)] = ["directory"];
    }
    if (type === "directory") tree[path] = ["directory"];
    else if (type === "symlink") tree[path] = ["symlink", link];
    else if (type === "hardlink") {
      const target = tree[link] ?? [];
      target[1] = "shared";
      tree[path] = target;
    } else tree[path] = ["file", (mode & 0o100) !== 0, size, hash];
  }
  return tree;
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
