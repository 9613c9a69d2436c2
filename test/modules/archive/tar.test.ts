import { describe, expect, test } from "bun:test";

import * as fc from "fast-check";

import { paxRecords, tar, type TarMember } from "../../support/package-builder.ts";
import { readTar, ruleOf } from "./support.ts";

const file: TarMember = { path: "bin/tool", data: "run" };
const long = `${"deep/".repeat(30)}file`;
const pax = (records: Record<string, string>, type = "x"): TarMember => ({
  path: "pax",
  type,
  data: paxRecords(records),
});
const rawPax = (data: string, type = "x"): TarMember => ({ path: "pax", type, data });
const gnu = (type: "L" | "K", name: string): TarMember => ({ path: "././@LongLink", type, data: `${name}\0` });
const symlink = (path: string, link: string): TarMember => ({ path, type: "2", link });
const hardlink = (path: string, link: string): TarMember => ({ path, type: "1", link });
/** Writes text into the header before its checksum is computed. */
const put = (offset: number, text: string): Pick<TarMember, "edit"> => ({
  edit: (header) => header.set(Buffer.from(text, "latin1"), offset),
});
/** Replaces a header's magic. */
const magic = (text: string): Pick<TarMember, "edit"> => put(257, text);
const gnuMagic = magic("ustar  \0");
const noMagic = magic("\0".repeat(8));
/** Truncated at 100 bytes it ends in `/`, as Python and Rust write it in front of the complete name. */
const cutAtSlash = `${"x".repeat(99)}/file`;
const base256 = (value: bigint): string => {
  const field = Buffer.alloc(12);
  if (value < 0n) field.fill(0xff, 0, 4);
  else field[0] = 0x80;
  field.writeBigInt64BE(value, 4);
  return field.toString("latin1");
};

function read(members: readonly TarMember[], end?: Uint8Array): ReturnType<typeof readTar> {
  return readTar([tar(members, end)], () => true);
}

function pathsOf(members: readonly TarMember[]): string[] {
  return read(members).members.map(({ path }) => path);
}

describe("the tar reader", () => {
  test("reads files, directories and links with their modes", () => {
    const archive = [
      { path: "bin/", mode: 0o700 },
      { ...file, mode: 0o755 },
      symlink("bin/alias", "tool"),
      hardlink("bin/same", "bin/tool"),
    ];
    const { members, contents, warnings } = read(archive);
    expect(members.map(({ path, type, size, mode, link }) => [path, type, size, mode, link])).toEqual([
      ["bin", "directory", 0, 0o700, ""],
      ["bin/tool", "file", 3, 0o755, ""],
      ["bin/alias", "symlink", 0, 0o644, "tool"],
      ["bin/same", "hardlink", 0, 0o644, "bin/tool"],
    ]);
    expect(contents).toEqual({ "bin/tool": "run" });
    expect(warnings).toEqual([]);
  });

  const paths: [string, TarMember[], string[]][] = [
    ["an empty archive", [], []],
    ["a path of many bytes by pax", [{ path: long, data: "x" }], [long]],
    ["a path of many bytes by GNU tar", [gnu("L", long), file], [long]],
    ["a path with a ustar prefix", [{ ...file, ...put(345, "usr/lib") }], ["usr/lib/bin/tool"]],
    ["a file of the old kind, with a zero type", [{ ...file, type: "\0" }], ["bin/tool"]],
    ["a header without magic", [{ ...file, ...noMagic }], ["bin/tool"]],
    [
      "GNU tar's own magic, and a long name by it",
      [
        { ...gnu("L", long), ...gnuMagic },
        { ...file, ...gnuMagic },
      ],
      [long],
    ],
    [
      "a name that is cut behind a slash",
      [pax({ path: cutAtSlash }), { path: cutAtSlash.slice(0, 100), type: "0" }],
      [cutAtSlash],
    ],
    [
      "a name that is cut before a letter of two bytes, behind a slash",
      [gnu("L", `${"x".repeat(98)}/été`), { path: `${"x".repeat(98)}/`, type: "0" }],
      [`${"x".repeat(98)}/été`],
    ],
    ["an old file after a global comment", [rawPax("18 comment=abcdef\n", "g"), { ...file, type: "\0" }], ["bin/tool"]],
    ...["pax_global_header", "././@PaxHeader"].map((path): [string, TarMember[], string[]] => [
      `a global comment by the name of ${path}`,
      [{ ...rawPax("18 comment=abcdef\n", "g"), path }, file],
      ["bin/tool"],
    ]),
    ["a global comment, then a name", [rawPax("18 comment=abcdef\n", "g"), pax({ path: long }), file], [long]],
    ["what is left of an older name", [{ ...file, ...put(0, "bin/tool\0@LongLink") }], ["bin/tool"]],
    ["a blank owner", [{ ...file, ...put(108, " ".repeat(8)) }], ["bin/tool"]],
    ["a time before 1970", [{ ...file, ...put(136, base256(-3n)) }], ["bin/tool"]],
    ["a size of base 256", [{ ...file, ...put(124, base256(3n)) }], ["bin/tool"]],
    ["a pax size that repeats the header's", [pax({ size: "3" }), file], ["bin/tool"]],
    ["pax records that only describe", [pax({ mtime: "1.5", "SCHILY.xattr.a": "\u0001=\n" }), file], ["bin/tool"]],
    [
      "every key that writers of packages use",
      [
        pax({
          path: "bin/tool",
          uid: "2097152",
          gid: "0",
          uname: "große",
          gname: "staff",
          mtime: "1700000000.1234567",
          atime: "-1",
          ctime: "1",
          comment: "made by hand",
          "LIBARCHIVE.creationtime": "1.5",
          "LIBARCHIVE.symlinktype": "file",
          "LIBARCHIVE.xattr.com.apple.provenance": "AQAA",
          "RHT.security.selinux": "unconfined_u\0",
          "SCHILY.dev": "66305",
          "SCHILY.ino": "1",
          "SCHILY.nlink": "1",
          "SCHILY.fflags": "nodump",
        }),
        file,
      ],
      ["bin/tool"],
    ],
    ["a global comment", [rawPax("18 comment=abcdef\n", "g"), file], ["bin/tool"]],
    ["./ in front, and the root itself", [{ path: "./" }, { ...file, path: "./bin/tool" }], ["bin/tool"]],
    ["a colon inside a name", [{ path: "man/Archive::Tar.3" }], ["man/Archive::Tar.3"]],
    ["letters of all languages", [{ path: "share/größe/日本" }], ["share/größe/日本"]],
    ["letters of all languages by pax", [pax({ path: "größe/日本/हिन्दी/한" }), file], ["größe/日本/हिन्दी/한"]],
    ["a name that is not composed in the header", [{ path: "e\u0301" }], ["e\u0301"]],
    ["a name that is not composed by GNU tar", [gnu("L", "share/e\u0301"), file], ["share/e\u0301"]],
    ["a directory after what is in it", [file, { path: "bin/" }], ["bin/tool", "bin"]],
    ["a hard link to a hard link", [file, hardlink("b", "bin/tool"), hardlink("c", "./b")], ["bin/tool", "b", "c"]],
  ];
  test.each(paths)("reads %s", (_, archive, expected) => {
    expect(pathsOf(archive)).toEqual(expected);
  });

  test("reads any number of zeros behind the end mark", () => {
    expect(read([file], new Uint8Array(10_240)).members).toHaveLength(1);
  });

  test("reads the target of a link from the pax or GNU header before it", () => {
    const byPax = [pax({ linkpath: "x".repeat(200) }), symlink("a", "")];
    expect(read([...byPax, gnu("K", "y".repeat(200)), symlink("b", "")]).members.map(({ link }) => link)).toEqual([
      "x".repeat(200),
      "y".repeat(200),
    ]);
  });

  test("reads the same from chunks of any size", () => {
    const bytes = tar([file, { path: long, data: "x".repeat(1500) }, symlink("a", "b"), { path: "empty" }]);
    const whole = readTar([bytes], () => true);
    const cut = (lengths: readonly number[]): Uint8Array[] => {
      let at = 0;
      const chunks = lengths.map((length) => bytes.subarray(at, (at += length)));
      return [...chunks, bytes.subarray(at)];
    };
    const lengths = fc.array(fc.integer({ min: 0, max: 1100 }), { maxLength: 12 });
    fc.assert(
      fc.property(lengths, (sizes) => {
        expect(readTar(cut(sizes), () => true)).toEqual(whole);
      }),
      { seed: 1, numRuns: 100 },
    );
  });
});

describe("the tar reader's warnings", () => {
  const cases: [string, string[], TarMember[]][] = [
    ["a link to an absolute path", ["external-link"], [symlink("a", "/usr/lib/a")]],
    ["a link that climbs out", ["external-link"], [symlink("lib/a", "../../a")]],
    ["a link that climbs after it went down", ["external-link"], [symlink("lib/a", "sub/../../b")]],
    ["a link to a drive", ["external-link"], [symlink("a", "C:\\Windows")]],
    ["many links out, once", ["external-link"], [symlink("a", "/a"), symlink("b", "/b")]],
    ["paths that differ in case", ["case-collision"], [{ path: "lib/Readme" }, { path: "lib/README" }]],
    ["a lower-case path after its upper-case twin", ["case-collision"], [{ path: "A" }, { path: "a" }]],
    ["an upper-case path after its lower-case twin", ["case-collision"], [{ path: "a" }, { path: "A" }]],
    ["paths that differ in how accents are written", ["case-collision"], [{ path: "\u00e9" }, { path: "e\u0301" }]],
    ["letters that differ only in what shows nothing", ["case-collision"], [{ path: "a\u200db" }, { path: "ab" }]],
    ["names that differ only in dots at their end", ["case-collision"], [{ path: "lib./a" }, { path: "lib/a" }]],
    ["links that differ in case", ["case-collision"], [symlink("A", "b"), symlink("a", "b")]],
    ["letters whose upper case is one", ["case-collision"], [{ path: "\u017f" }, { path: "s" }]],
    ["files that macOS leaves beside others", ["apple-double"], [{ path: "lib/._a" }, { path: "._b" }]],
    ["nothing where a name only begins with a dot", [], [{ path: "lib/.a" }, { path: "._c/a" }, { path: "x._d" }]],
    ["names that Windows reserves", ["reserved-name"], [{ path: "share/aux.h" }]],
    [
      "nothing where a link stays inside",
      [],
      [symlink("lib/a", "../share/b"), symlink("lib/c", "./d"), symlink("e", ".")],
    ],
    ["nothing where directories differ in case", [], [{ path: "Lib/a" }, { path: "lib/b" }]],
    ["nothing where a name only begins like a reserved one", [], [{ path: "console.js" }, { path: "com10" }]],
  ];
  test.each(cases)("report %s", (_, warnings, archive) => {
    expect(read(archive).warnings).toEqual(warnings);
  });
});

describe("the tar reader", () => {
  const zeros = new Uint8Array(1024);
  /** A value below the magic, at a position that only some readers read. */
  const strays: [what: string, magic: string, offset: number, stray: string][] = [
    ["a prefix in a header of GNU tar", "ustar  \0", 345, "etc"],
    ["a prefix in a header without magic", "\0".repeat(8), 345, "etc"],
    ["a sparse map in the header of a plain file", "ustar  \0", 386, "00000000001\0"],
    ["a real size in the header of a plain file", "ustar  \0", 483, "00000000001\0"],
    ["the mark of star", "ustar\x0000", 508, "tar\0"],
    ["a last byte", "\0".repeat(8), 511, "x"],
  ];
  const cases: [string, string, TarMember[], Uint8Array?][] = [
    ["a missing end mark", "tar-cut", [file], new Uint8Array(0)],
    ["half an end mark", "tar-cut", [file], new Uint8Array(512)],
    ["an end mark that is cut", "tar-cut", [file], new Uint8Array(1000)],
    ["a member behind the end mark", "tar-data-after-end", [file], Buffer.concat([zeros, tar([{ path: "late" }])])],
    [
      "a member behind half an end mark",
      "tar-data-after-end",
      [file],
      Buffer.concat([zeros.subarray(512), tar([file])]),
    ],
    ["bytes behind the end mark", "tar-data-after-end", [file], Buffer.concat([zeros, Buffer.alloc(512, "x")])],
    ["a wrong checksum", "tar-checksum", [{ ...file, spoil: (header) => header.set([0x78], 0) }]],
    ["a checksum that is no number", "tar-bad-number", [{ ...file, spoil: (header) => header.fill(0x20, 148, 156) }]],
    ["a negative size", "tar-bad-number", [{ ...file, ...put(124, base256(-3n)) }]],
    ["a size beyond all measure", "tar-bad-number", [{ ...file, ...put(124, base256(2n ** 60n)) }]],
    ["a size that is no number", "tar-bad-number", [{ ...file, ...put(124, "0x3\0") }]],
    ["a size with something behind it", "tar-bad-number", [{ ...file, ...put(124, "0000000003 1") }]],
    ["no size", "tar-bad-number", [{ ...file, ...put(124, "\0".repeat(12)) }]],
    ["an owner that is no number", "tar-bad-number", [{ ...file, ...put(108, "root") }]],
    ["a time that is no number", "tar-bad-number", [{ ...file, ...put(136, "\0\u0001") }]],
    ["a device that is no number", "tar-bad-number", [{ ...file, ...put(329, "9") }]],
    ["a mode that is no number", "tar-bad-number", [{ ...file, ...put(100, "rwxr-xr-") }]],
    ...["3", "4", "6", "7", "D", "M", "N", "V", "X", "Z", "9"].map((type): [string, string, TarMember[]] => [
      `a member of type ${type}`,
      "tar-unknown-type",
      [{ path: "a", type }],
    ]),
    ["an old sparse file", "tar-sparse", [{ path: "a", type: "S" }]],
    ["a sparse file by pax", "tar-sparse", [pax({ "GNU.sparse.major": "1" }), file]],
    ["a real size by pax", "tar-sparse", [pax({ "SCHILY.realsize": "9" }), file]],
    ["a global pax path", "tar-global-header", [pax({ path: "evil" }, "g"), file]],
    ["a pax path that is not composed", "pax-name-form", [pax({ path: "share/e\u0301" }), file]],
    ["a pax target that is not composed", "pax-name-form", [pax({ linkpath: "e\u0301" }), symlink("a", "b")]],
    ["a pax path of Korean letters apart", "pax-name-form", [pax({ path: "\u1112\u1161\u11ab" }), file]],
    ["a pax path that leads out", "tar-bad-name", [pax({ path: "../evil" }), file]],
    ["an empty pax path", "tar-bad-name", [pax({ path: "" }), file]],
    ["a pax size unlike the header's", "tar-ambiguous-size", [pax({ size: "4" }), file]],
    ["a pax size where the header has none", "tar-ambiguous-size", [pax({ size: "4" }), { path: "a" }]],
    ["no end where a pax size is too large for the header", "tar-cut", [pax({ size: "8589934592" }), { path: "a" }]],
    ["a pax size that is no number", "tar-bad-number", [pax({ size: "-1" }), file]],
    ["a pax key twice", "tar-ambiguous-header", [rawPax("10 path=a\n10 path=b\n"), file]],
    ["a pax record with a wrong length", "tar-bad-pax", [rawPax("11 path=a\n"), file]],
    ["a pax record that runs out", "tar-bad-pax", [rawPax("99 path=a\n"), file]],
    ["a pax record without a length", "tar-bad-pax", [rawPax("path=a\n"), file]],
    ["a pax record without a key", "tar-bad-pax", [rawPax("6 =ab\n"), file]],
    ["zeros behind the pax records", "tar-bad-pax", [rawPax("10 path=a\n\0"), file]],
    ["two pax headers for one member", "tar-ambiguous-header", [pax({ mtime: "1" }), pax({ mtime: "2" }), file]],
    ["two long names for one member", "tar-ambiguous-header", [gnu("L", "a"), gnu("L", "b"), file]],
    ["a name by pax and by GNU tar", "tar-ambiguous-header", [pax({ path: "a" }), gnu("L", "b"), file]],
    [
      "a target by pax and by GNU tar",
      "tar-ambiguous-header",
      [pax({ linkpath: "a" }), gnu("K", "b"), symlink("c", "")],
    ],
    ["a header for a member that does not follow", "tar-ambiguous-header", [pax({ path: "a" })]],
    ["a global header with nothing behind it", "tar-ambiguous-header", [rawPax("18 comment=abcdef\n", "g")]],
    ...strays.map(([what, text, offset, stray]): [string, string, TarMember[]] => {
      const edit: TarMember["edit"] = (header) => {
        header.set(Buffer.from(text, "latin1"), 257);
        header.set(Buffer.from(stray, "latin1"), offset);
      };
      return [what, "tar-ambiguous-header", [{ ...file, edit }]];
    }),
    ...["ustar\x0001", "ustar\0\0\0", "ustar  0", "ustar\0 \0", "Ustar\x0000", "\0\0\0\0\0\0\0x"].map(
      (text): [string, string, TarMember[]] => [
        `the magic ${JSON.stringify(text)}`,
        "tar-magic",
        [{ ...file, ...magic(text) }],
      ],
    ),
    ["a long name without magic", "tar-magic", [{ ...gnu("L", long), ...noMagic }, file]],
    ["a long target without magic", "tar-magic", [{ ...gnu("K", long), ...noMagic }, symlink("a", "")]],
    ["a pax header without magic", "tar-magic", [{ ...pax({ path: "a" }), ...noMagic }, file]],
    ["a pax header with the magic of GNU tar", "tar-magic", [{ ...pax({ path: "a" }), ...gnuMagic }, file]],
    [
      "a global header with the magic of GNU tar",
      "tar-magic",
      [{ ...rawPax("18 comment=abcdef\n", "g"), ...gnuMagic }, file],
    ],
    ...(["\0", "0", "1", "2"] as const).flatMap((type): [string, string, TarMember[]][] => {
      const folder: TarMember = { path: "share/d/", type, link: type === "1" || type === "2" ? "bin/tool" : "" };
      const rule = type === "\0" ? "tar-old-type" : "tar-name-says-folder";
      return [
        [`a pax name over a folder's of type ${JSON.stringify(type)}`, rule, [file, pax({ path: "data" }), folder]],
        [`a GNU name over a folder's of type ${JSON.stringify(type)}`, rule, [file, gnu("L", "data"), folder]],
        [`a folder's name of type ${JSON.stringify(type)}`, "tar-name-says-folder", [file, folder]],
      ];
    }),
    [
      "a long folder's name that is not cut",
      "tar-name-says-folder",
      [pax({ path: long }), { path: `${"x".repeat(80)}/`, type: "0" }],
    ],
    [
      "an old type over a name that is cut behind a slash",
      "tar-old-type",
      [pax({ path: cutAtSlash }), { path: cutAtSlash.slice(0, 100), type: "\0" }],
    ],
    [
      "a cut folder's name that is longer than the real one",
      "tar-name-says-folder",
      [pax({ path: "data" }), { path: cutAtSlash.slice(0, 100), type: "0" }],
    ],
    ["an old type after a time", "tar-old-type", [pax({ mtime: "1" }), { ...file, type: "\0" }]],
    ["an old type after a target", "tar-old-type", [gnu("K", "a"), { ...file, type: "\0" }]],
    ["a target by pax for a file", "tar-ambiguous-link", [file, pax({ linkpath: "bin/tool" }), { path: "a" }]],
    ["a target by GNU tar for a file", "tar-ambiguous-link", [file, gnu("K", "bin/tool"), { path: "a" }]],
    ["a target for a directory", "tar-ambiguous-link", [gnu("K", "bin/tool"), { path: "a/" }]],
    ["a mode of base 256", "tar-bad-number", [{ ...file, ...put(100, "\x80\0\0\0\0\0\u0001\xff") }]],
    ["a checksum of base 256", "tar-bad-number", [{ ...file, spoil: checksumInBase256 }]],
    [
      "a time long before all",
      "tar-bad-number",
      [{ ...file, ...put(136, "\xff\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff") }],
    ],
    ...[
      "SUN.holesdata",
      "SUN.devmajor",
      "SCHILY.filetype",
      "SCHILY.acl.access",
      "SCHILY.xattr.",
      "LIBARCHIVE.other",
      "MSWINDOWS.rawsd",
      "Path",
      "path ",
      "constructor",
    ].map((key): [string, string, TarMember[]] => [`the pax key ${key}`, "pax-key", [pax({ [key]: "1" }), file]]),
    ["another character set", "pax-key", [pax({ hdrcharset: "BINARY", path: "a" }), file]],
    ["another character set inside a value", "pax-key", [pax({ comment: "21 hdrcharset=BINARY" }), file]],
    ...Object.entries({
      mtime: "soon",
      atime: "1e9",
      uid: "-1",
      gid: "",
      uname: "a\nb",
      ctime: "99999999999999",
      comment: "",
    }).map(([key, value]): [string, string, TarMember[]] => [
      `the ${key} ${JSON.stringify(value)} by pax`,
      "pax-value",
      [pax({ [key]: value }), file],
    ]),
    ["an attribute without a value", "pax-value", [pax({ "SCHILY.xattr.a": "" }), file]],
    ["an attribute that is not base 64", "pax-value", [pax({ "LIBARCHIVE.xattr.a": "?" }), file]],
    ["a pax header of nothing", "tar-bad-pax", [rawPax(""), file]],
    ["a key that only describes twice", "tar-ambiguous-header", [rawPax("9 uid=12\n9 uid=12\n"), file]],
    [
      "more pax records than any file has",
      "tar-header-too-large",
      [pax(Object.fromEntries(Array.from({ length: 257 }, (_, at) => [`SCHILY.xattr.${at}`, "x"]))), file],
    ],
    [
      "a global header between a name and its member",
      "tar-global-header",
      [pax({ path: "a" }), rawPax("18 comment=abcdef\n", "g"), file],
    ],
    [
      "a global header behind a long name",
      "tar-global-header",
      [gnu("L", "a"), rawPax("18 comment=abcdef\n", "g"), file],
    ],
    [
      "a global header behind a long target",
      "tar-global-header",
      [gnu("K", "a"), rawPax("18 comment=abcdef\n", "g"), symlink("b", "")],
    ],
    ...["folder/x", "/tmp/GlobalHead.1.1", "a/../b", "//g", "..", ".", "", "a\nb"].map(
      (path): [string, string, TarMember[]] => [
        `the global header ${path}`,
        "tar-global-header",
        [{ ...rawPax("18 comment=abcdef\n", "g"), path }, file],
      ],
    ),
    [
      "a global header with a prefix",
      "tar-global-header",
      [{ ...rawPax("18 comment=abcdef\n", "g"), ...put(345, "usr") }, file],
    ],
    ["a global time", "tar-global-header", [pax({ mtime: "1" }, "g"), file]],
    ["a huge pax header", "tar-header-too-large", [{ path: "pax", type: "x", ...put(124, "77777777777") }]],
    ["a huge long name", "tar-header-too-large", [{ path: "L", type: "L", ...put(124, "00000077777") }]],
    ["a directory with contents", "tar-ambiguous-size", [{ path: "a/", data: "x" }]],
    ["a symbolic link with contents", "tar-ambiguous-size", [{ ...symlink("a", "b"), data: "x" }]],
    ["a hard link with contents", "tar-ambiguous-size", [file, { ...hardlink("a", "bin/tool"), data: "x" }]],
    ...[
      "",
      "/etc/passwd",
      "..",
      "../up",
      "a/../../up",
      "a/..",
      "a//b",
      "a/./b",
      "././a",
      ".",
      "a\\b",
      "C:evil",
      "c:/evil",
      "a\nb",
      "\u001b[2J",
      "a\u0085b",
      "\u202eb",
      "\u2066b",
      "a\u2028b",
    ].map((path): [string, string, TarMember[]] => [
      `the path ${JSON.stringify(path)}`,
      "tar-bad-name",
      [{ path, type: "0" }],
    ]),
    ["a long name without its zero byte", "tar-bad-name", [{ path: "L", type: "L", data: long }, file]],
    ["a zero byte in a long name", "tar-bad-name", [gnu("L", "a\0b"), file]],
    ["a zero byte in a pax path", "tar-bad-name", [pax({ path: "a\0b" }), file]],
    ["a name that is not UTF-8", "tar-bad-name", [{ path: Uint8Array.of(0x61, 0xff) }]],
    [
      "a pax path that is not UTF-8",
      "tar-bad-name",
      [{ path: "pax", type: "x", data: Buffer.from("10 path=\xff\n", "latin1") }, file],
    ],
    ["a part of more than 255 bytes", "tar-bad-name", [{ path: `a/${"é".repeat(128)}` }]],
    ["a path of more than 4096 bytes", "tar-bad-name", [{ path: `${"abcdefghi/".repeat(410)}x` }]],
    ["a hard link to nothing", "tar-bad-link", [hardlink("a", "")]],
    ["a link to nothing", "tar-bad-link", [symlink("a", "")]],
    ["a link with an escape sequence", "tar-bad-link", [symlink("a", "\u001b[2J")]],
    ["a hard link that leads out", "tar-bad-link", [hardlink("a", "../etc/passwd")]],
    ["a hard link to an absolute path", "tar-bad-link", [hardlink("a", "/etc/passwd")]],
    ["a hard link to a missing member", "tar-bad-link", [hardlink("a", "b")]],
    ["a hard link to a later member", "tar-bad-link", [hardlink("a", "bin/tool"), file]],
    ["a hard link to a symbolic link", "tar-bad-link", [symlink("a", "/etc"), hardlink("b", "a")]],
    ["a hard link to a directory", "tar-bad-link", [{ path: "a/" }, hardlink("b", "a")]],
    ["a path twice", "tar-duplicate-member", [file, file]],
    ["a path twice, once with ./", "tar-duplicate-member", [file, { ...file, path: "./bin/tool" }]],
    [
      "a path twice after a twin in another case",
      "tar-duplicate-member",
      [{ path: "a" }, { path: "A" }, { path: "A" }],
    ],
    ["a file that becomes a link", "tar-duplicate-member", [file, symlink("bin/tool", "x")]],
    ["a directory twice", "tar-duplicate-member", [{ path: "a/" }, { path: "a/" }]],
    ["a file that is a directory", "tar-file-as-directory", [{ path: "a" }, { path: "a/" }]],
    ["a directory that is a file", "tar-file-as-directory", [{ path: "a/" }, { path: "a" }]],
    ["a member inside a file", "tar-file-as-directory", [{ path: "a" }, { path: "a/b/c" }]],
    ["a file where others have a directory", "tar-file-as-directory", [{ path: "a/b/c" }, { path: "a/b" }]],
    ["a member beyond a link", "tar-through-link", [symlink("lib", "/etc"), { path: "lib/passwd" }]],
    ["a member far beyond a link", "tar-through-link", [symlink("lib", "share"), { path: "lib/a/b/c" }]],
    ["a member beyond a link in another case", "tar-through-link", [symlink("Lib", "share"), { path: "lib/a" }]],
    [
      "a link where others have a directory in another case",
      "tar-through-link",
      [{ path: "lib/a" }, symlink("LIB", "share")],
    ],
    [
      "a member beyond a link whose accents are composed",
      "tar-through-link",
      [symlink("\u00e9", "share"), { path: "e\u0301/a" }],
    ],
    [
      "a member beyond a link whose marks stand in another order",
      "tar-through-link",
      [symlink("\u03b1\u0345\u0301", "share"), { path: "\u03b1\u0301\u0345/a" }],
    ],
    ["a link far above, in another case", "tar-through-link", [symlink("a/B", "share"), { path: "A/b/c/d" }]],
    ["a file that would be written through a link", "tar-through-link", [symlink("Lib", "share/a"), { path: "lib" }]],
    ["a link in the place of a file in another case", "tar-through-link", [{ path: "lib" }, symlink("Lib", "share/a")]],
    ["a directory that is a link in another case", "tar-through-link", [{ path: "lib/" }, symlink("Lib", "share/a")]],
    ["a file that is a directory in another case", "tar-file-as-directory", [{ path: "Doc/a" }, { path: "doc" }]],
    ["a directory that is a file in another case", "tar-file-as-directory", [{ path: "doc" }, { path: "Doc/a" }]],
    ["a link where others have a directory", "tar-through-link", [{ path: "lib/a" }, symlink("lib", "/etc")]],
    ["a hard link beyond a link", "tar-through-link", [file, symlink("lib", "/etc"), hardlink("lib/a", "bin/tool")]],
  ];
  test.each(cases.map(([name, rule, archive, end = zeros]) => [name, rule, tar(archive, end)] as const))(
    "refuses %s",
    async (_, rule, bytes) => {
      expect(await ruleOf(() => readTar([bytes]))).toBe(rule);
    },
  );

  test("refuses an archive truncated anywhere", async () => {
    const bytes = tar([file, { path: long, data: "x" }, gnu("L", long + "2"), { path: "b", data: "y".repeat(600) }]);
    for (let length = 0; length < bytes.length; length += 64) {
      expect([length, await ruleOf(() => readTar([bytes.subarray(0, length)]))]).toEqual([length, "tar-cut"]);
    }
  });

  test("refuses more members than the limit, counting headers that only describe a member", async () => {
    const bytes = tar([pax({ mtime: "1" }), file, pax({ mtime: "1" }), { path: "b" }]);
    const attempt = (members: number) => ruleOf(() => readTar([bytes], undefined, { bytes: Infinity, members }));
    expect(await attempt(4)).toBeUndefined();
    expect(await attempt(3)).toBe("member-count");
  });

  test("refuses paths that would fill the memory", async () => {
    const deep = `${"x".repeat(200)}/`.repeat(19);
    const bytes = tar(Array.from({ length: 9000 }, (_, index) => ({ path: deep + index })));
    expect(await ruleOf(() => readTar([bytes]))).toBe("path-length");
  });
});

function checksumInBase256(header: Uint8Array): void {
  const sum = parseInt(Buffer.from(header.subarray(148, 154)).toString(), 8);
  header.set([0x80, 0, 0, 0, 0, 0, sum >> 8, sum & 0xff], 148);
}
