import { describe, expect, test } from "bun:test";
import { deflateRawSync } from "node:zlib";

import { configure, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } from "@zip.js/zip.js";
import Bzip2 from "compressjs/lib/Bzip2.js";
import * as fc from "fast-check";
import { unpackTar } from "modern-tar";

import type { ArchiveFormat } from "../../../src/modules/conda/archive.ts";
import {
  buildPackage,
  bzip2,
  condaBytes,
  packageParts,
  paxRecords,
  tar,
  type TarMember,
  zstd,
} from "../../support/package-builder.ts";
import { rawZip } from "../archive/raw-zip.ts";
import { type ListedFile, readFileList, useInspector, verdictOf } from "./archive-support.ts";

const inspect = useInspector();
const { stem, info, payload } = packageParts({ name: "demo", version: "1", files: { "lib/a": "aa", "lib/b": "b" } });
const members: TarMember[] = [
  ...info,
  ...payload,
  { path: "pax", type: "x", data: paxRecords({ path: "lib/by-pax", mtime: "1.5" }) },
  { path: "cut", data: "x".repeat(700) },
  { path: "././@LongLink", type: "L", data: "lib/by-gnu\0" },
  { path: "cut" },
  { path: "lib/link", type: "2", link: "a" },
  { path: "lib/same", type: "1", link: "lib/b" },
  { path: "share/" },
];
const payloadTar = tar(members.slice(info.length));

/** The findings of an independent reader, in the format of the file list. */
async function listIndependently(bytes: Uint8Array, format: ArchiveFormat): Promise<Omit<ListedFile, "mode">[]> {
  if (format === "tar.bz2") return listTar(Bzip2.decompressFile(bytes, undefined, true));
  configure({ useWebWorkers: false });
  const listed: Omit<ListedFile, "mode">[] = [];
  for (const entry of await new ZipReader(new Uint8ArrayReader(bytes)).getEntries()) {
    if (entry.directory) throw new Error("zip.js sees a directory");
    const data = await entry.getData(new Uint8ArrayWriter(), { checkSignature: true });
    if (entry.filename.endsWith(".tar.zst")) listed.push(...(await listTar(Bun.zstdDecompressSync(data))));
  }
  return listed;
}

async function listTar(bytes: Uint8Array): Promise<Omit<ListedFile, "mode">[]> {
  const entries = await unpackTar(bytes, { strict: true });
  return entries.flatMap(({ header: { name, size, type = "file" } }) => {
    const path = name.replace(/^\.\//, "").replace(/\/$/, "");
    return path === "" ? [] : [{ path, size, type: type === "link" ? "hardlink" : type }];
  });
}

/** Never an exception, and never a list of members that differs from other readers'. */
async function checkAgreement(bytes: Uint8Array, format: ArchiveFormat): Promise<boolean> {
  const inspection = await inspect(bytes, `${stem}.${format}`);
  if (inspection.kind === "refused") return false;
  const listed = readFileList(inspection.fileList).map(({ path, size, type }) => ({ path, size, type }));
  expect(listed).toEqual(await listIndependently(bytes, format));
  return true;
}

const pack: Record<ArchiveFormat, () => Uint8Array> = {
  conda: () => condaBytes({ stem, info, payload: zstd(payloadTar) }),
  "tar.bz2": () => bzip2(tar(members)),
};
const formats: ArchiveFormat[] = ["conda", "tar.bz2"];

test.each(formats)("a good .%s is read alike by independent readers", async (format) => {
  expect(await checkAgreement(pack[format](), format)).toBe(true);
});

test.each(formats)("a .%s truncated at any 64th byte is refused", async (format) => {
  const bytes = pack[format]();
  for (let length = 0; length < bytes.length; length += 64) {
    const inspection = await inspect(bytes.subarray(0, length), `${stem}.${format}`);
    expect([length, inspection.kind]).toEqual([length, "refused"]);
  }
});

describe("a random change", () => {
  const edit = fc.record({
    kind: fc.constantFrom("write", "insert", "remove", "repeat"),
    at: fc.nat(),
    length: fc.integer({ min: 1, max: 40 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
  });

  test.each(formats)("to the bytes of a .%s never throws, and no two readers disagree", async (format) => {
    const original = pack[format]();
    const edits = fc.array(edit, { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(edits, async (changes) => {
        await checkAgreement(changes.reduce(applyEdit, original), format);
      }),
      { seed: 3, numRuns: 150 },
    );
  });

  test("to the headers of a tarball with new checksums never throws, and no two readers disagree", async () => {
    const interesting = [
      "\0",
      " ",
      "/",
      "..",
      "./",
      "7777777\0",
      "\x80",
      "\xff",
      "5",
      "1",
      "2",
      "x",
      "L",
      "ustar  \0",
      "lib/a",
      "é",
    ];
    const change = fc.record({
      block: fc.nat(payloadTar.length / 512 - 1),
      field: fc.constantFrom(0, 1, 100, 124, 134, 135, 156, 157, 257, 263, 345, 512, 514, 519),
      bytes: fc.oneof(
        fc.constantFrom(...interesting).map((text) => Buffer.from(text, "latin1")),
        fc.uint8Array({ minLength: 1, maxLength: 12 }),
      ),
    });
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 2 }), async (changes) => {
        const changed = Buffer.from(payloadTar);
        for (const { block, field, bytes } of changes) {
          changed.set(bytes, Math.min(block * 512 + field, changed.length - bytes.length));
        }
        for (let at = 0; at < changed.length; at += 512) mendChecksum(changed.subarray(at, at + 512));
        if (await checkAgreement(condaBytes({ stem, info, payload: zstd(changed) }), "conda")) accepted += 1;
      }),
      { seed: 4, numRuns: 300 },
    );
    expect(accepted).toBeGreaterThan(30);
  });
});

describe("inspecting a hostile package", () => {
  const bomb = (mebibytes: number): TarMember => ({ path: "bomb", data: zeros(mebibytes) });
  const limits = { unpackedBytes: 32 * 1024 ** 2, unpackedRatio: 2 };
  const bombs: [string, string, Uint8Array, string][] = [
    ["zeros in zstd", "unpacked-size", condaBytes({ stem, info, payload: [bomb(64)] }), "conda"],
    ["zeros in bzip2", "unpacked-size", bzip2(tar([bomb(40)])), "tar.bz2"],
    [
      "zeros behind the end mark",
      "unpacked-size",
      condaBytes({ stem, info, payload: zstd(tar(payload, zeros(64))) }),
      "conda",
    ],
    [
      "zeros in many frames",
      "zstd-several-frames",
      condaBytes({ stem, info, payload: Buffer.concat(Array<Uint8Array>(64).fill(zstd(zeros(1)))) }),
      "conda",
    ],
    [
      "zeros in both tarballs",
      "unpacked-size",
      condaBytes({ stem, info: [...info, { path: "info/a", data: zeros(20) }], payload: [bomb(20)] }),
      "conda",
    ],
    ["zeros deflated around zstd", "zip-checksum", deflateBomb(), "conda"],
    [
      "a member that claims to be huge",
      "tar-cut",
      condaBytes({
        stem,
        info,
        payload: [{ path: "a", edit: (header) => header.set(Buffer.from("77777777777"), 124) }],
      }),
      "conda",
    ],
    [
      "many empty members",
      "member-count",
      condaBytes({ stem, info, payload: Array.from({ length: 2000 }, (_, at) => ({ path: `${at}` })) }),
      "conda",
    ],
  ];
  test.each(bombs)("stops at its bounds for %s", async (_, rule, bytes, format) => {
    const started = performance.now();
    const inspection = await inspect(bytes, `${stem}.${format}`, { limits: { ...limits, members: 1000 } });
    expect(verdictOf(inspection).slice(0, 2)).toEqual(["refused", rule]);
    expect(performance.now() - started).toBeLessThan(3000);
  });

  test("stops at the processor time limit, which grows with the unpacked bytes", async () => {
    const { bytes, fileName } = buildPackage({ name: "long", version: "1", files: { a: zeros(8) } });
    const within = { limits: { busyMs: 100 }, busy: () => 101 };
    expect(verdictOf(await inspect(bytes, fileName, within))).toEqual(["accepted"]);
    expect(verdictOf(await inspect(bytes, fileName, { ...within, busy: () => 150 }))).toEqual([
      "refused",
      "inspection-time",
    ]);
    const hasTime = { ...within, busy: () => 150, limits: { busyMs: 150 } };
    expect(verdictOf(await inspect(bytes, fileName, hasTime))).toEqual(["accepted"]);
  });

  test("stops at the size its headers announce, before bzip2 unpacks it", async () => {
    const announced = { path: "a", edit: (header: Uint8Array) => header.set(Buffer.from("77777777777"), 124) };
    expect(verdictOf(await inspect(bzip2(tar([...info, announced])), `${stem}.tar.bz2`))).toEqual([
      "refused",
      "unpacked-size",
    ]);
  });

  test("stops at a window larger than the limit", async () => {
    const packed = zstd(tar([{ path: "a", data: zeros(2) }]));
    const bytes = condaBytes({ stem, info, payload: packed });
    expect(verdictOf(await inspect(bytes, `${stem}.conda`, { limits: { zstdWindowLog: 20 } }))).toEqual([
      "refused",
      "zstd-window",
    ]);
  });

  test("accepts a package that is large for its packed size but below the ratio", async () => {
    const { bytes, fileName } = buildPackage({ name: "large", version: "1", files: { a: "x".repeat(100_000) } });
    const atRatio = { limits: { unpackedBytes: 0, unpackedRatio: 200 } };
    expect(verdictOf(await inspect(bytes, fileName, atRatio))).toEqual(["accepted"]);
    expect(verdictOf(await inspect(bytes, fileName, { limits: { unpackedBytes: 0, unpackedRatio: 20 } }))).toEqual([
      "refused",
      "unpacked-size",
    ]);
  });
});

type Edit = { kind: "write" | "insert" | "remove" | "repeat"; at: number; length: number; bytes: Uint8Array };

function applyEdit(original: Uint8Array, { kind, at, length, bytes }: Edit): Uint8Array {
  const start = at % Math.max(original.length, 1);
  const [before, after] = [original.subarray(0, start), original.subarray(start)];
  if (kind === "write") return Buffer.concat([before, bytes, after.subarray(bytes.length)]);
  if (kind === "insert") return Buffer.concat([before, bytes, after]);
  if (kind === "remove") return Buffer.concat([before, after.subarray(length)]);
  return Buffer.concat([before, after.subarray(0, length), after]);
}

/** For a block that was a header before; other blocks stay unchanged. */
function mendChecksum(block: Uint8Array): void {
  if (Buffer.from(block.subarray(257, 262)).toString() !== "ustar") return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

/** A deflated member that unpacks to far more than it announces. */
function deflateBomb(): Uint8Array {
  const packed = new Uint8Array(deflateRawSync(zeros(64)));
  return rawZip([
    { name: `info-${stem}.tar.zst`, data: zstd(tar(info)) },
    { name: `pkg-${stem}.tar.zst`, data: packed, both: { method: 8, size: 100 } },
  ]);
}

function zeros(mebibytes: number): Uint8Array {
  return new Uint8Array(mebibytes * 1024 ** 2);
}
