import { describe, expect, test } from "bun:test";

import {
  buildPackage,
  bzip2,
  condaBytes,
  packageParts,
  tar,
  type TarMember,
  zip,
  zstd,
} from "../../support/package-builder.ts";
import { rawZip } from "../archive/raw-zip.ts";
import { useInspector, verdictOf } from "./archive-support.ts";

const inspect = useInspector();
const { stem, info, payload } = packageParts({ name: "demo", version: "1" });
const bz2Name = `${stem}.tar.bz2`;
const condaName = `${stem}.conda`;
const good = { conda: condaBytes({ stem, info, payload }), bz2: bzip2(tar([...info, ...payload])) };
const parts: Record<string, Uint8Array> = {
  "metadata.json": Buffer.from('{"conda_pkg_format_version": 2}'),
  [`info-${stem}.tar.zst`]: zstd(tar(info)),
  [`pkg-${stem}.tar.zst`]: zstd(tar(payload)),
};
const [metadata = "", infoName = "", pkgName = ""] = Object.keys(parts);

/** The good parts with some of them replaced; `undefined` omits one. */
function conda(changes: Record<string, Uint8Array | undefined>): Uint8Array {
  const members = Object.entries({ ...parts, ...changes });
  return zip(Object.fromEntries(members.flatMap(([name, data]) => (data === undefined ? [] : [[name, data]]))));
}

const withInfo = (...members: TarMember[]): Uint8Array => condaBytes({ stem, info: [...info, ...members], payload });
const withPayload = (...members: TarMember[]): Uint8Array =>
  condaBytes({ stem, info, payload: [...payload, ...members] });
const bz2 = (...members: TarMember[]): Uint8Array => bzip2(tar(members));
const withMetadata = (text: string): Uint8Array => conda({ [metadata]: Buffer.from(text) });
const index = (extra: object): TarMember => {
  return { path: "info/index.json", data: JSON.stringify({ name: "demo", version: "1", build: "0", ...extra }) };
};
const raw = Object.entries(parts).map(([name, data]) => ({ name, data }));

type Case = [what: string, bytes: Uint8Array, fileName: string, ...rules: string[]];

const refused: Case[] = [
  ["B1 an empty .conda", new Uint8Array(0), condaName, "file-empty"],
  ["B1 an empty .tar.bz2", new Uint8Array(0), bz2Name, "file-empty"],
  ["B1 text that is called .conda", Buffer.from("<html>"), condaName, "file-not-an-archive"],
  ["B1 text that is called .tar.bz2", Buffer.from("<html>"), bz2Name, "file-not-an-archive"],
  ["B1 another extension", good.conda, "demo-1-0.zip", "file-extension"],
  ["B1 bzip2 that is no tar", bzip2(Buffer.from("hello".repeat(200))), bz2Name, "tar-bad-number"],
  ["B2 another member", conda({ "evil.tar.zst": zstd(tar([])) }), condaName, "conda-unknown-member"],
  ["B2 a member in a folder", conda({ [`x/${pkgName}`]: zstd(tar([])) }), condaName, "conda-unknown-member"],
  [
    "B2 an info tarball in a folder that its name begins",
    conda({ [infoName]: undefined, "info-a/b-1-0.tar.zst": parts[infoName] }),
    condaName,
    "conda-unknown-member",
  ],
  [
    "B2 a pkg tarball with letters that no package has",
    conda({ [pkgName]: undefined, "pkg-d\u00e9mo-1-0.tar.zst": parts[pkgName] }),
    condaName,
    "conda-unknown-member",
  ],
  ["B2 a directory", conda({ "info/": new Uint8Array(0) }), condaName, "conda-unknown-member"],
  ["B2 no info tarball", conda({ [infoName]: undefined }), condaName, "conda-no-info"],
  ["B2 no member at all", zip({}), condaName, "conda-no-info"],
  ["B3 a member listed twice", rawZip([...raw, ...raw.slice(1, 2)]), condaName, "zip-duplicate-member"],
  [
    "B3 another name in front of the member",
    rawZip(raw.map((entry) => ({ ...entry, local: { name: "x" } }))),
    condaName,
    "zip-header-disagrees",
  ],
  ["B3 a ZIP in front of the ZIP", Buffer.concat([good.conda, good.conda]), condaName, "zip-gap"],
  ["B3 bytes behind the ZIP", Buffer.concat([good.conda, Buffer.from("x")]), condaName, "zip-no-end"],
  [
    "B4 an encrypted member",
    rawZip(raw.map((entry) => ({ ...entry, both: { flags: 1 } }))),
    condaName,
    "zip-encrypted",
  ],
  ["B4 a comment", rawZip(raw, { end: { comment: "hello" } }), condaName, "zip-no-end"],
  [
    "B4 a link in the ZIP",
    rawZip(raw.map((entry) => ({ ...entry, central: { attributes: 0o120777 * 0x10000 } }))),
    condaName,
    "zip-not-a-file",
  ],
  ["B5 wrong zip64 values", rawZip(raw, { zip64: { offset: 1 } }), condaName, "zip-wrong-zip64"],
  ["B6 metadata.json that is not JSON", withMetadata("conda"), condaName, "json-syntax"],
  ["B6 metadata.json of another version", withMetadata('{"conda_pkg_format_version": 3}'), condaName, "conda-metadata"],
  [
    "B6 metadata.json of a textual version",
    withMetadata('{"conda_pkg_format_version": "2"}'),
    condaName,
    "conda-metadata",
  ],
  ["B6 metadata.json that is a list", withMetadata("[2]"), condaName, "conda-metadata"],
  ["B6 a huge metadata.json", withMetadata(`{"a":"${"x".repeat(20_000)}"}`), condaName, "conda-metadata"],
  ["B6 two info tarballs", conda({ "info-other-1-0.tar.zst": parts[infoName] }), condaName, "conda-two-tarballs"],
  ["B6 two pkg tarballs", conda({ "pkg-other-1-0.tar.zst": parts[pkgName] }), condaName, "conda-two-tarballs"],
  ["B6 an info tarball that is no zstd", conda({ [infoName]: Buffer.from("not zstd") }), condaName, "zstd-corrupt"],
  ["B9 info/ in the pkg tarball", withPayload({ path: "info/other.json" }), condaName, "payload-has-info"],
  ["B9 an info folder in the pkg tarball", withPayload({ path: "info/" }), condaName, "payload-has-info"],
  [
    "B9 info/ in other letters in the pkg tarball",
    withPayload({ path: "Info/index.json" }),
    condaName,
    "info-spelling",
  ],
  ["B9 payload in the info tarball", withInfo({ path: "bin/tool" }), condaName, "info-has-payload"],
  ["B10 a device", withPayload({ path: "dev/null", type: "3" }), condaName, "tar-unknown-type"],
  ["B10 a fifo", bz2(...info, { path: "pipe", type: "6" }), bz2Name, "tar-unknown-type"],
  ["B10 a sparse file", withPayload({ path: "a", type: "S" }), condaName, "tar-sparse"],
  ["B11 a path that leads out", withPayload({ path: "../evil" }), condaName, "tar-bad-name"],
  ["B11 an absolute path", bz2(...info, { path: "/etc/passwd" }), bz2Name, "tar-bad-name"],
  [
    "B11 ./info/ in a .tar.bz2",
    bz2(...info.map((member) => ({ ...member, path: `./${String(member.path)}` }))),
    bz2Name,
    "info-dotted",
  ],
  [
    "B12 a member beyond a link",
    withPayload({ path: "lib", type: "2", link: "/etc" }, { path: "lib/passwd" }),
    condaName,
    "tar-through-link",
  ],
  ["B12 a hard link to a missing member", withPayload({ path: "a", type: "1", link: "b" }), condaName, "tar-bad-link"],
  ["B12 info as a link", bz2({ path: "info", type: "2", link: "other" }, ...payload), bz2Name, "info-not-a-folder"],
  [
    "B12 info as a file",
    condaBytes({ stem, info: [{ path: "info", type: "0" }], payload }),
    condaName,
    "info-not-a-folder",
  ],
  [
    "B13 a file of info/ twice",
    withInfo({ path: "info/recipe/meta.yaml" }, { path: "info/recipe/meta.yaml" }),
    condaName,
    "tar-duplicate-member",
  ],
  ["B13 a path twice", withPayload(...payload), condaName, "tar-duplicate-member"],
  [
    "B13 a path that is file and directory",
    withPayload({ path: "a" }, { path: "a/b" }),
    condaName,
    "tar-file-as-directory",
  ],
  [
    "B14 a pax size unlike the header's",
    withPayload({ path: "x", type: "x", data: "9 size=9\n" }, { path: "a", data: "b" }),
    condaName,
    "tar-ambiguous-size",
  ],
  [
    "B14 a global pax header",
    bz2({ path: "x", type: "g", data: "10 path=a\n" }, ...info),
    bz2Name,
    "tar-global-header",
  ],
  [
    "B15 a second tar behind the first",
    bzip2(Buffer.concat([tar([...info, ...payload]), tar([index({ version: "2" })])])),
    bz2Name,
    "tar-data-after-end",
  ],
  [
    "B15 a second tar in another stream",
    Buffer.concat([good.bz2, bz2(index({ version: "2" }))]),
    bz2Name,
    "bzip2-several-streams",
  ],
  [
    "B15 a second tar in another frame",
    conda({ [pkgName]: Buffer.concat([zstd(tar(payload)), zstd(tar([{ path: "late" }]))]) }),
    condaName,
    "zstd-several-frames",
  ],
  [
    "B15 several bzip2 streams",
    Buffer.concat([bzip2(tar(info, new Uint8Array(0))), bz2(...payload)]),
    bz2Name,
    "bzip2-several-streams",
  ],
  [
    "B15 several zstd frames",
    conda({ [infoName]: Buffer.concat([zstd(tar(info).subarray(0, 600)), zstd(tar(info).subarray(600))]) }),
    condaName,
    "zstd-several-frames",
  ],
  ["B12 a link whose target was lost", withPayload({ path: "a", type: "2", link: "" }), condaName, "tar-bad-link"],
  [
    "B15 a skippable frame",
    conda({ [pkgName]: Buffer.concat([zstd(tar(payload)), Buffer.from("502a4d1800000000", "hex")]) }),
    condaName,
    "zstd-trailing-data",
  ],
  ["B15 bytes behind the bzip2 data", Buffer.concat([good.bz2, Buffer.from("x")]), bz2Name, "bzip2-trailing-data"],
  ["B17 no index.json", condaBytes({ stem, info: info.slice(1), payload }), condaName, "index-missing"],
  ["B17 index.json twice", withInfo(index({})), condaName, "tar-duplicate-member"],
  [
    "B17 index.json as a link",
    condaBytes({ stem, info: [{ path: "info/index.json", type: "2", link: "a" }] }),
    condaName,
    "info-not-a-file",
    "conda-no-payload",
  ],
  [
    "B17 index.json as a hard link",
    bz2({ path: "info/a", data: "{}" }, { path: "info/index.json", type: "1", link: "info/a" }),
    bz2Name,
    "info-not-a-file",
  ],
  ["B17 index.json as a directory", bz2({ path: "info/index.json/" }), bz2Name, "info-not-a-file"],
  [
    "B17 about.json as a link",
    withInfo({ path: "info/about.json", type: "2", link: "index.json" }),
    condaName,
    "info-not-a-file",
  ],
  ...[
    "info/Index.json",
    "info/INDEX.JSON",
    "info/index.json.",
    "info/index.json::$DATA",
    "info./index.json",
    "info/path\u017f.json",
    "info/in\u200cdex.json",
    "in\ufefffo/index.json",
  ].map((path): Case => [`B17 ${path} beside the real one`, bz2(...info, { path }), bz2Name, "info-spelling"]),
  ["B17 INFO/index.json alone", bz2({ ...index({}), path: "INFO/index.json" }), bz2Name, "info-spelling"],
  ["B18 a huge index.json", bz2(index({ pad: "x".repeat(2 * 1024 ** 2) })), bz2Name, "info-too-large"],
  ["B19 a .conda that is called .tar.bz2", good.conda, bz2Name, "file-wrong-container"],
  ["B19 a .tar.bz2 that is called .conda", good.bz2, condaName, "file-wrong-container"],
  ["B19 a .conda in front of a .tar.bz2", Buffer.concat([good.conda, good.bz2]), condaName, "zip-no-end"],
  ["B19 a .tar.bz2 in front of a .conda", Buffer.concat([good.bz2, good.conda]), bz2Name, "bzip2-trailing-data"],
  [
    "B21 an entry point with shell characters",
    withInfo({ path: "info/link.json", data: '{"noarch":{"type":"python","entry_points":["a=b:c;rm"]}}' }),
    condaName,
    "link-entry-point",
  ],
  ["CEP 34 a member in conda-meta/", withPayload({ path: "conda-meta/history" }), condaName, "reserved-path"],
  ["CEP 34 conda-meta/ in other letters", withPayload({ path: "Conda-Meta/history" }), condaName, "reserved-path"],
  ["CEP 34 info/repodata_record.json", withInfo({ path: "info/repodata_record.json" }), condaName, "reserved-path"],
  [
    "CEP 26 a name with capitals",
    bz2(index({ name: "Demo" })),
    bz2Name,
    "index-name",
    "index-build-number",
    "index-depends",
    "index-subdir",
    "paths-missing",
  ],
];

const warned: Case[] = [
  ["B2 no pkg tarball", conda({ [pkgName]: undefined }), condaName, "conda-no-payload", "paths-disagree"],
  ["B2 no metadata.json", conda({ [metadata]: undefined }), condaName, "conda-no-metadata"],
  ["B4 deflated members", zip({ ...parts, [pkgName]: zstd(tar(payload)) }, 6), condaName, "zip-deflated-member"],
  [
    "B8 an info tarball of another stem",
    conda({ [infoName]: undefined, [`info-${stem}X.tar.zst`]: parts[infoName] }),
    condaName,
    "conda-stem",
  ],
  [
    "B8 a pkg tarball of another stem",
    conda({ [pkgName]: undefined, "pkg-other-1-0.tar.zst": parts[pkgName] }),
    condaName,
    "conda-stem",
  ],
  [
    "B12 a link out of the package",
    withPayload({ path: "a", type: "2", link: "/usr" }),
    condaName,
    "external-link",
    "paths-disagree",
  ],
  [
    "B13 paths that differ in case",
    withPayload({ path: "share/DEMO.txt" }),
    condaName,
    "case-collision",
    "paths-disagree",
  ],
  ["B20 a file that is not there", bz2(...info), bz2Name, "paths-disagree"],
  ["B20 a file that is not listed", withPayload({ path: "share/extra" }), condaName, "paths-disagree"],
  [
    "B20 a file of another size",
    condaBytes({ stem, info, payload: payload.map((member) => ({ ...member, data: "x" })) }),
    condaName,
    "paths-disagree",
  ],
];

describe("inspecting a package", () => {
  test.each(refused)("refuses %s", async (_, bytes, fileName, ...rules) => {
    expect(verdictOf(await inspect(bytes, fileName))).toEqual(["refused", ...rules]);
  });
});

describe("inspecting a package", () => {
  test.each(warned)("accepts with a warning: %s", async (_, bytes, fileName, ...rules) => {
    expect(verdictOf(await inspect(bytes, fileName))).toEqual(["accepted", ...rules]);
  });
});

test("a .tar.bz2 with its metadata behind all other members is accepted", async () => {
  expect(verdictOf(await inspect(bz2(...payload, ...info), bz2Name))).toEqual(["accepted"]);
});

test("the corpus' unchanged packages are accepted without findings", async () => {
  expect(verdictOf(await inspect(good.conda, condaName))).toEqual(["accepted"]);
  expect(verdictOf(await inspect(good.bz2, bz2Name))).toEqual(["accepted"]);
  // Where the file name counts, the publish compares it.
  expect(verdictOf(await inspect(good.conda, "package-1.0.conda"))).toEqual(["accepted"]);
  const { bytes, fileName } = buildPackage({ name: "demo", version: "1" });
  expect(verdictOf(await inspect(bytes, fileName))).toEqual(["accepted"]);
});
