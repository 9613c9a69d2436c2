import { describe, expect, test } from "bun:test";
import { crc32, deflateRawSync } from "node:zlib";

import { ARCHIVE_LIMITS, type ArchiveFormat } from "../../../src/modules/conda/archive.ts";
import { inspectArchive } from "../../../src/modules/conda/inspect-archive.ts";
import {
  buildPackage,
  bzip2,
  condaBytes,
  type PackageContents,
  packageParts,
  tar,
  zstd,
} from "../../support/package-builder.ts";
import { fields, rawZip } from "../archive/raw-zip.ts";
import { readFileList, useInspector, verdictOf } from "./archive-support.ts";

const inspect = useInspector();
const formats: ArchiveFormat[] = ["conda", "tar.bz2"];

async function accept(contents: PackageContents, format: ArchiveFormat = "conda") {
  const { bytes, fileName } = buildPackage({ ...contents, format });
  const inspection = await inspect(bytes, fileName);
  if (inspection.kind !== "accepted") throw new Error(JSON.stringify(inspection.findings));
  return inspection;
}

describe.each(formats)("a good .%s package", (format) => {
  test("gives its identity, its record and its list of files", async () => {
    const files = { "lib/a.txt": "hello", "bin/tool": "#!/bin/sh\n" };
    const depends = ["python >=3.10"];
    const inspection = await accept(
      {
        name: "demo",
        version: "1.2.3",
        build: "py_7",
        build_number: 7,
        depends,
        files,
        license: "MIT",
        timestamp: 1_700_000_000_000,
      },
      format,
    );
    expect(inspection.findings).toEqual([]);
    expect(inspection.format).toBe(format);
    expect(inspection.identity).toEqual({
      name: "demo",
      version: "1.2.3",
      build: "py_7",
      buildNumber: 7,
      subdir: "noarch",
      fileName: `demo-1.2.3-py_7.${format}`,
      timestamp: 1_700_000_000_000,
    });
    expect(inspection.record).toBe(
      '{"build":"py_7","build_number":7,"depends":["python >=3.10"],"license":"MIT","name":"demo","subdir":"noarch","timestamp":1700000000000,"version":"1.2.3"}',
    );
    const listed = readFileList(inspection.fileList);
    expect(listed.toSorted((a, b) => (a.path < b.path ? -1 : 1))).toMatchObject([
      { path: "bin/tool", size: 10, type: "file", mode: 0o644 },
      { path: "info/index.json", type: "file" },
      { path: "info/paths.json", type: "file" },
      { path: "lib/a.txt", size: 5, type: "file", mode: 0o644 },
    ]);
    expect(inspection.unpackedBytes).toBe(listed.reduce((sum, { size }) => sum + size, 0));
  });

  test("gives the contents of its other info files", async () => {
    const inspection = await accept(
      {
        name: "demo",
        version: "1",
        noarch: "python",
        info: {
          "about.json": { summary: "A demo" },
          "run_exports.json": { weak: ["demo >=1"] },
          "link.json": { package_metadata_version: 1, noarch: { type: "python", entry_points: ["demo = demo:main"] } },
          "test/run_test.py": "import demo",
        },
      },
      format,
    );
    expect(inspection.metadata.about).toEqual({ summary: "A demo" });
    expect(inspection.metadata.runExports).toEqual({ weak: ["demo >=1"] });
    expect(inspection.metadata.flags).toEqual(["entry-points"]);
    expect(inspection.findings).toEqual([]);
  });

  test("is flagged for what it runs and where it reaches", async () => {
    const { stem, info, payload } = packageParts({
      name: "demo",
      version: "1",
      info: { "paths.json": undefined },
      files: {
        "bin/.demo-post-link.sh": "",
        "Scripts/.demo-pre-unlink.bat": "",
        "bin/.other-pre-link.sh": "",
        "etc/conda/activate.d/demo.sh": "",
      },
    });
    const members = [...payload, { path: "lib/libx.so", type: "2", link: "/usr/lib/libx.so" }];
    const bytes = format === "conda" ? condaBytes({ stem, info, payload: members }) : bzip2(tar([...info, ...members]));
    const inspection = await inspect(bytes, `${stem}.${format}`);
    expect(verdictOf(inspection)).toEqual(["accepted", "external-link", "paths-missing"]);
    expect(inspection.kind === "accepted" && inspection.metadata.flags).toEqual([
      "post-link",
      "pre-unlink",
      "activate",
      "external-links",
    ]);
  });

  test.each([
    [["activate.d/a.sh"], ["activate"]],
    [["deactivate.d/a.sh"], ["deactivate"]],
    [
      ["activate.d/a.sh", "deactivate.d/a.bat"],
      ["activate", "deactivate"],
    ],
    [["activate.d.sh", "deactivated/a.sh"], []],
  ])("with the scripts %j is flagged for each kind that it has", async (scripts, flags) => {
    const files = Object.fromEntries(scripts.map((script) => [`etc/conda/${script}`, ""]));
    expect((await accept({ name: "demo", version: "1", files }, format)).metadata.flags).toEqual(flags);
  });

  test("is accepted with many files and a large one", async () => {
    const files: Record<string, string> = { "share/large": "0123456789".repeat(300_000) };
    for (let index = 0; index < 2000; index += 1) files[`lib/module${index % 7}/file_${index}.py`] = `x = ${index}\n`;
    const inspection = await accept({ name: "large", version: "1", files }, format);
    expect(inspection.findings).toEqual([]);
    expect(readFileList(inspection.fileList)).toHaveLength(2003);
  });
});

test("a .conda is accepted with its members in any order", async () => {
  const { stem, info, payload } = packageParts({ name: "demo", version: "1" });
  const members = [
    { name: `info-${stem}.tar.zst`, data: zstd(tar(info)) },
    { name: `pkg-${stem}.tar.zst`, data: zstd(tar(payload)) },
    { name: "metadata.json", data: Buffer.from('{"conda_pkg_format_version": 2}') },
  ];
  for (const order of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]) {
    const bytes = rawZip(
      members.map((_, index) => members[order[index] ?? 0] ?? { name: "", data: new Uint8Array(0) }),
    );
    expect(verdictOf(await inspect(bytes, `${stem}.conda`))).toEqual(["accepted"]);
  }
});

test("a .conda whose headers all have zip64 sizes is accepted without a finding", async () => {
  const { stem, info, payload } = packageParts({ name: "demo", version: "1" });
  const members = Object.entries({
    "metadata.json": Buffer.from('{"conda_pkg_format_version": 2}'),
    [`info-${stem}.tar.zst`]: zstd(tar(info)),
    [`pkg-${stem}.tar.zst`]: zstd(tar(payload)),
  });
  const entries = members.map(([name, data]) => {
    const extra = fields([2, 1], [2, 16], [8, data.length], [8, data.length]);
    return { name, data, local: { size: 0xffffffff, compressedSize: 0xffffffff, extra } };
  });
  expect(verdictOf(await inspect(rawZip(entries), `${stem}.conda`))).toEqual(["accepted"]);
});

test("a .conda that is one deflated info tarball is accepted, with a warning for each missing part", async () => {
  const index = { name: "test_package", version: "1.0.1", subdir: "linux-64", build: "xxx" };
  const tarball = zstd(tar([{ path: "info/index.json", data: JSON.stringify(index) }]));
  const packed = new Uint8Array(deflateRawSync(tarball));
  const both = { method: 8, flags: 8, size: tarball.length, crc: crc32(tarball) };
  const after = fields([4, 0x08074b50], [4, both.crc], [4, packed.length], [4, tarball.length]);
  const local = { crc: 0, size: 0, compressedSize: 0 };
  const bytes = rawZip([{ name: "info-x.tar.zst", data: packed, both, local, after }]);

  const inspection = await inspect(bytes, "test_package-1.0.1-xxx.conda");
  expect(verdictOf(inspection)).toEqual([
    "accepted",
    "zip-data-descriptor",
    "zip-deflated-member",
    "conda-no-payload",
    "conda-no-metadata",
    "index-build-number",
    "index-depends",
    "paths-missing",
    "conda-stem",
  ]);
  expect(inspection).toMatchObject({
    identity: { name: "test_package", subdir: "linux-64", fileName: "test_package-1.0.1-xxx.conda" },
    record: '{"build":"xxx","build_number":0,"depends":[],"name":"test_package","subdir":"linux-64","version":"1.0.1"}',
    metadata: { flags: ["no-payload"] },
  });
});

test("a package whose payload members begin with ./ is accepted", async () => {
  const { stem, info, payload } = packageParts({ name: "demo", version: "1" });
  const dotted = [{ path: "./" }, ...payload.map((member) => ({ ...member, path: `./${String(member.path)}` }))];
  const inspection = await inspect(condaBytes({ stem, info, payload: dotted }), `${stem}.conda`);
  expect(verdictOf(inspection)).toEqual(["accepted"]);
  expect(inspection.kind === "accepted" && readFileList(inspection.fileList)[0]?.path).toBe("share/demo.txt");
});

test("a package's timestamp is compared with the given time", async () => {
  const { bytes, fileName } = buildPackage({ name: "demo", version: "1", timestamp: 2_000_000_000_000 });
  expect(verdictOf(await inspect(bytes, fileName, { now: 1_900_000_000_000 }))).toEqual([
    "accepted",
    "index-timestamp",
  ]);
  expect(verdictOf(await inspect(bytes, fileName, { now: 2_100_000_000_000 }))).toEqual(["accepted"]);
  expect(verdictOf(await inspect(bytes, fileName))).toEqual(["accepted"]);
});

test("findings are short sentences without control characters", async () => {
  const evil = { path: `${"x".repeat(300)}\u001b[2J`, data: "" };
  const inspection = await inspect(bzip2(tar([evil])), "demo-1-0.tar.bz2");
  expect(inspection.kind).toBe("refused");
  for (const finding of inspection.findings) {
    expect(finding.rule).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(finding.path.length).toBeLessThanOrEqual(200);
    expect(finding.path + finding.message).not.toContain("\u001b");
    expect(finding.message).toMatch(/\.$/);
    expect(finding.fix).toMatch(/\.$/);
  }
});

test("a missing package file throws, as the fault is on this machine", async () => {
  const options = { fileName: "demo-1-0.conda", limits: ARCHIVE_LIMITS };
  const failure = await inspectArchive("/nonexistent/demo", options).catch(String);
  expect(failure).toContain("ENOENT");
});
