import { describe, expect, test } from "bun:test";
import { crc32, deflateRawSync } from "node:zlib";

import { zipSync } from "fflate";

import { readZip } from "../../../src/modules/archive/zip.ts";
import { extraField, fields, type RawEntry, rawZip } from "./raw-zip.ts";
import { createReporter, ruleOf, useTempFolder, withOpenFile } from "./support.ts";

const folder = useTempFolder();
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const data = bytes("hello");
const first: RawEntry = { name: "first.txt", data };
const second: RawEntry = { name: "second.txt", data: bytes("world, again") };
const max = { size: 0xffffffff, compressedSize: 0xffffffff };
const zip64 = (...values: number[]): Uint8Array => extraField(1, fields(...values.map((value) => [8, value] as const)));
const deflated = (text: string, extra: Partial<RawEntry["both"]> = {}): RawEntry => {
  const packed = new Uint8Array(deflateRawSync(bytes(text)));
  return { name: "deflated", data: packed, both: { method: 8, size: text.length, crc: crc32(bytes(text)), ...extra } };
};

/** Reads all members; returns their names and texts, and the warnings. */
function read(zip: Uint8Array): Promise<{ members: Record<string, string>; warnings: string[] }> {
  return withOpenFile(folder.write(zip), async (fd) => {
    const reporter = createReporter();
    const members: Record<string, string> = {};
    for (const member of readZip(fd, zip.length, reporter)) {
      const chunks: Buffer[] = [];
      for await (const chunk of member.read()) chunks.push(Buffer.from(chunk));
      members[member.name] = Buffer.concat(chunks).toString();
    }
    return { members, warnings: reporter.rules };
  });
}

describe("the ZIP reader", () => {
  const both = { "first.txt": "hello", "second.txt": "world, again" };
  const accepted: [string, Uint8Array, Record<string, string>, string[]][] = [
    ["an empty ZIP", rawZip([]), {}, []],
    ["members in order", rawZip([first, second]), both, []],
    ["what fflate writes", zipSync({ "first.txt": [data, { level: 0 }] }), { "first.txt": "hello" }, []],
    [
      "a directory in another order than the members",
      swapDirectory(rawZip([first, second])),
      { "second.txt": "world, again", "first.txt": "hello" },
      [],
    ],
    [
      "zip64 sizes in front of every small member, as rattler writes them",
      rawZip([{ ...first, local: { ...max, extra: zip64(5, 5) } }]),
      { "first.txt": "hello" },
      [],
    ],
    [
      "zip64 values that repeat what the header in front of the member says",
      rawZip([{ ...first, local: { extra: zip64(5, 5) } }]),
      { "first.txt": "hello" },
      [],
    ],
    [
      "a zip64 offset in the directory alone",
      rawZip([first, { ...second, central: { offset: 0xffffffff, extra: zip64(44) } }]),
      both,
      [],
    ],
    ["zip64 end records", rawZip([first], { zip64: {} }), { "first.txt": "hello" }, []],
    [
      "zip64 end records that are needed",
      rawZip([first], { zip64: {}, end: { countHere: 0xffff, count: 0xffff, size: 0xffffffff, offset: 0xffffffff } }),
      { "first.txt": "hello" },
      [],
    ],
    [
      "the highest version that Python reads",
      rawZip([{ ...first, both: { version: 63 } }]),
      { "first.txt": "hello" },
      [],
    ],
    [
      "a file that DOS would archive",
      rawZip([{ ...first, central: { attributes: 0x20, madeBy: 20 } }]),
      { "first.txt": "hello" },
      [],
    ],
    [
      "a time and an owner as libarchive writes them",
      rawZip([
        {
          ...first,
          both: {
            extra: Buffer.concat([
              extraField(0x5455, fields([1, 1], [4, 1_577_836_800])),
              extraField(0x7875, fields([1, 1], [1, 4], [4, 1000], [1, 4], [4, 1000])),
            ]),
          },
        },
      ]),
      { "first.txt": "hello" },
      [],
    ],
    [
      "times in an extra field",
      rawZip([{ ...first, both: { extra: extraField(0x5455, fields([1, 1], [4, 1_577_836_800])) } }]),
      { "first.txt": "hello" },
      [],
    ],
    ["a name that is marked as UTF-8", rawZip([{ name: "é", data, both: { flags: 1 << 11 } }]), { é: "hello" }, []],
    [
      "a plain Unix file",
      rawZip([{ ...first, central: { attributes: 0o100644 * 0x10000 } }]),
      { "first.txt": "hello" },
      [],
    ],
    ["a deflated member, with a warning", rawZip([deflated("hello")]), { deflated: "hello" }, ["zip-deflated-member"]],
    ...[fields([4, crc32(data)], [4, 5], [4, 5]), fields([4, crc32(data)], [8, 5], [8, 5])].flatMap(
      (descriptor): [string, Uint8Array, Record<string, string>, string[]][] =>
        [descriptor, Buffer.concat([fields([4, 0x08074b50]), descriptor])].map((after) => [
          `a data descriptor of ${after.length} bytes, with a warning`,
          rawZip([{ ...first, after, both: { flags: 8 }, local: { crc: 0, size: 0, compressedSize: 0 } }, second]),
          both,
          ["zip-data-descriptor"],
        ]),
    ),
  ];
  test.each(accepted)("reads %s", async (_, zip, members, warnings) => {
    expect(await read(zip)).toEqual({ members, warnings });
  });

  test("reads a member larger than one chunk to the last byte", async () => {
    const large = Buffer.alloc(2_500_001, "condarium");
    const { members } = await read(rawZip([{ name: "large", data: large }]));
    expect(members.large).toBe(large.toString());
  });
});

describe("the ZIP reader", () => {
  const cases: [string, string, Uint8Array][] = [
    ["an empty file", "zip-no-end", new Uint8Array(0)],
    ["bytes behind the end record", "zip-no-end", rawZip([first], { afterEnd: data })],
    ["a comment", "zip-no-end", rawZip([first], { end: { comment: "hi" } })],
    ["a second ZIP behind the first", "zip-gap", Buffer.concat([rawZip([second]), rawZip([first])])],
    ["an end record in the comment of another", "zip-gap", fakeEndInComment()],
    ["bytes in front of the first member", "zip-gap", rawZip([{ ...first, before: data }])],
    ["bytes between two members", "zip-gap", rawZip([first, { ...second, before: data }])],
    ["a member that the directory leaves out", "zip-gap", rawZip([first, { ...second, isUnlisted: true }])],
    [
      "a left out member between two others",
      "zip-gap",
      rawZip([first, { ...second, isUnlisted: true }, { ...first, name: "x" }]),
    ],
    ["bytes between the members and the directory", "zip-gap", rawZip([first], { beforeDirectory: data })],
    ["a directory that ends early", "zip-gap", rawZip([first, second], { end: { size: 56 } })],
    ["a directory past the end", "zip-gap", rawZip([first], { end: { offset: 9999 } })],
    ["two members in one place", "zip-overlap", rawZip([first, { ...second, central: { offset: 0 } }])],
    ["a member inside another", "zip-overlap", overlapping()],
    [
      "a member that runs into the directory",
      "zip-overlap",
      rawZip([{ ...first, both: { size: 9, compressedSize: 9 } }]),
    ],
    ["a name listed twice", "zip-duplicate-member", rawZip([first, { ...second, name: "first.txt" }])],
    ["a wrong number of members", "zip-wrong-count", rawZip([first], { end: { count: 2, countHere: 2 } })],
    ["too large a directory", "zip-too-many-members", rawZip([{ ...first, central: { comment: "x".repeat(65_530) } }])],
    ["a directory that is none", "zip-directory-corrupt", rawZip([{ ...first, central: { signature: 1 } }])],
    ["a part of several", "zip-several-disks", rawZip([first], { end: { disk: 1 } })],
    ["a directory on another disk", "zip-several-disks", rawZip([first], { end: { directoryDisk: 1 } })],
    ["members on several disks", "zip-several-disks", rawZip([first], { end: { countHere: 0 } })],
    ["a member on another disk", "zip-several-disks", rawZip([{ ...first, central: { disk: 1 } }])],
    ["a member with a comment", "zip-comment", rawZip([{ ...first, central: { comment: "hi" } }])],
    ["an encrypted member", "zip-encrypted", rawZip([{ ...first, both: { flags: 1 } }])],
    ["a masked directory", "zip-unknown-flag", rawZip([{ ...first, both: { flags: 1 << 13 } }])],
    ["an unknown method", "zip-unknown-method", rawZip([{ ...first, both: { method: 93 } }])],
    ["a symbolic link", "zip-not-a-file", rawZip([{ ...first, central: { attributes: 0o120777 * 0x10000 } }])],
    ...[0o040755 * 0x10000, 0x10, 0x08, 0o020644 * 0x10000, 0o010644 * 0x10000].flatMap((attributes) =>
      [0, 3 << 8, 7 << 8].map((madeBy): [string, string, Uint8Array] => [
        `the attributes ${attributes.toString(16)} of system ${madeBy >> 8}`,
        "zip-not-a-file",
        rawZip([{ ...first, central: { attributes, madeBy } }]),
      ]),
    ),
    ["a version that nobody reads", "zip-version", rawZip([{ ...first, central: { version: 64 } }])],
    ["a version with an upper byte", "zip-version", rawZip([{ ...first, central: { version: 0x0314 } }])],
    [
      "a version that nobody reads in front of the member",
      "zip-version",
      rawZip([{ ...first, local: { version: 64 } }]),
    ],
    ["two sizes of a stored member", "zip-wrong-size", rawZip([{ ...first, central: { size: 4 } }])],
    [
      "another name in front of the member",
      "zip-header-disagrees",
      rawZip([{ ...first, local: { name: "other.txt" } }]),
    ],
    [
      "a longer name in front of the member",
      "zip-header-disagrees",
      rawZip([{ ...first, local: { name: "first.txt.conda" } }]),
    ],
    ["other flags in front of the member", "zip-header-disagrees", rawZip([{ ...first, local: { flags: 1 << 11 } }])],
    ["another method in front of the member", "zip-header-disagrees", rawZip([{ ...first, local: { method: 8 } }])],
    ["another checksum in front of the member", "zip-header-disagrees", rawZip([{ ...first, local: { crc: 1 } }])],
    ["another size in front of the member", "zip-header-disagrees", rawZip([{ ...first, local: { size: 4 } }])],
    [
      "sizes of zero without a descriptor",
      "zip-header-disagrees",
      rawZip([{ ...first, local: { size: 0, compressedSize: 0 } }]),
    ],
    ["no header in front of the member", "zip-header-disagrees", rawZip([{ ...first, local: { signature: 7 } }])],
    ["a wrong checksum", "zip-checksum", rawZip([{ ...first, both: { crc: 1 } }])],
    ["deflated data that is longer than it says", "zip-checksum", rawZip([deflated("hello", { size: 4 })])],
    ["deflated data that is shorter than it says", "zip-checksum", rawZip([deflated("hello", { size: 6 })])],
    ["deflated data that is broken", "zip-deflate-corrupt", rawZip([{ ...first, both: { method: 8 } }])],
    ["something behind the deflated data", "zip-deflate-corrupt", rawZip([withTail(deflated("hello"))])],
    ["a missing descriptor", "zip-wrong-descriptor", rawZip([{ ...first, both: { flags: 8 } }])],
    [
      "a descriptor that disagrees",
      "zip-wrong-descriptor",
      rawZip([{ ...first, both: { flags: 8 }, after: fields([4, 1], [4, 5], [4, 5]) }]),
    ],
    [
      "a descriptor with something behind it",
      "zip-wrong-descriptor",
      rawZip([{ ...first, both: { flags: 8 }, after: fields([4, crc32(data)], [4, 5], [4, 5], [2, 0]) }]),
    ],
    [
      "zip64 sizes that disagree with the directory",
      "zip-header-disagrees",
      rawZip([{ ...first, local: { ...max, extra: zip64(6, 5) } }]),
    ],
    [
      "zip64 sizes that disagree with their header",
      "zip-wrong-zip64",
      rawZip([{ ...first, central: { extra: zip64(6, 6) } }]),
    ],
    [
      "zip64 sizes that repeat what the directory says",
      "zip-wrong-zip64",
      rawZip([{ ...first, central: { extra: zip64(5, 5) } }]),
    ],
    ["a zip64 size that repeats", "zip-wrong-zip64", rawZip([{ ...first, local: { extra: zip64(5) } }])],
    [
      "a zip64 offset in front of a member",
      "zip-wrong-zip64",
      rawZip([{ ...first, local: { extra: zip64(5, 5, 0) } }]),
    ],
    [
      "a zip64 size that repeats beside one that is needed",
      "zip-wrong-zip64",
      rawZip([{ ...first, local: { size: 0xffffffff, extra: zip64(5, 5) } }]),
    ],
    ["repeated zip64 sizes that differ", "zip-wrong-zip64", rawZip([{ ...first, local: { extra: zip64(5, 6) } }])],
    [
      "an extra field twice",
      "zip-bad-extra-field",
      rawZip([{ ...first, both: { extra: Buffer.concat([extraField(0x7855, data), extraField(0x7855, data)]) } }]),
    ],
    ["missing zip64 sizes", "zip-wrong-zip64", rawZip([{ ...first, local: max }])],
    ["half a zip64 field", "zip-wrong-zip64", rawZip([{ ...first, local: { ...max, extra: zip64(5) } }])],
    [
      "a zip64 field that is too long",
      "zip-wrong-zip64",
      rawZip([{ ...first, local: { ...max, extra: zip64(5, 5, 0, 0, 0) } }]),
    ],
    [
      "two zip64 fields",
      "zip-bad-extra-field",
      rawZip([{ ...first, local: { ...max, extra: Buffer.concat([zip64(5, 5), zip64(5, 5)]) } }]),
    ],
    ["zip64 end records that disagree", "zip-wrong-zip64", rawZip([first], { zip64: { count: 2 } })],
    ["a zip64 locator that points elsewhere", "zip-wrong-zip64", rawZip([first], { zip64: { locator: 3 } })],
    [
      "a field that renames the member",
      "zip-bad-extra-field",
      rawZip([{ ...first, both: { extra: extraField(0x7075, bytes("\x01....evil")) } }]),
    ],
    ...[0x6c78, 0x6375, 0x9901, 0x0017, 0x000d, 0x000a, 0xcafe].flatMap((id) =>
      (["both", "local", "central"] as const).map((where): [string, string, Uint8Array] => [
        `the extra field ${id.toString(16)} in ${where}`,
        "zip-bad-extra-field",
        rawZip([{ ...first, [where]: { extra: extraField(id, Uint8Array.of(4, 0, 0, 0xed, 0x41)) } }]),
      ]),
    ),
    ...[fields(), fields([1, 3], [4, 1], [4, 1], [4, 1]), fields([1, 8]), fields([1, 1], [2, 1])].map(
      (times): [string, string, Uint8Array] => [
        `times of ${times.length} bytes`,
        "zip-bad-extra-field",
        rawZip([{ ...first, both: { extra: extraField(0x5455, times) } }]),
      ],
    ),
    [
      "an extra field that is cut",
      "zip-bad-extra-field",
      rawZip([{ ...first, central: { extra: Uint8Array.of(1, 0, 9, 0) } }]),
    ],
    ...[
      "",
      "/etc/passwd",
      "../up",
      "a/../../up",
      "a//b",
      "./a",
      "a\\b",
      "C:evil",
      "a\0.txt",
      "a\nb",
      "\u202eb.txt",
    ].map((name): [string, string, Uint8Array] => [
      `the name ${JSON.stringify(name)}`,
      "zip-bad-name",
      rawZip([{ name, data, both: { flags: 1 << 11 } }]),
    ]),
    [
      "a name that is not UTF-8",
      "zip-bad-name",
      rawZip([{ ...first, both: { name: Uint8Array.of(0xff), flags: 1 << 11 } }]),
    ],
    ["a name in an unknown code page", "zip-bad-name", rawZip([{ ...first, name: "é" }])],
  ];
  test.each(cases)("refuses %s", async (_, rule, zip) => {
    expect(await ruleOf(() => read(zip))).toBe(rule);
  });
});

/** One more byte, which its headers count. */
function withTail(entry: RawEntry): RawEntry {
  return { ...entry, data: Buffer.concat([entry.data, Uint8Array.of(0)]) };
}

/** The two members' directory entries, of equal name lengths, in the other order. */
function swapDirectory(zip: Uint8Array): Uint8Array {
  const end = zip.length - 22;
  const size = new DataView(zip.buffer, zip.byteOffset).getUint32(end + 12, true);
  const start = end - size;
  const middle = start + 46 + "first.txt".length;
  return Buffer.concat([
    zip.subarray(0, start),
    zip.subarray(middle, end),
    zip.subarray(start, middle),
    zip.subarray(end),
  ]);
}

/** One listed member whose contents are another listed member. */
function overlapping(): Uint8Array {
  const inner = rawZip([{ name: "in.txt", data }]).subarray(0, 41);
  return rawZip([
    { name: "outer.txt", data: inner },
    { name: "in.txt", data, isUnlisted: false, central: { offset: 39 } },
  ]);
}

/** Readers that look for the last end record and those that look for one whose comment fits see different members. */
function fakeEndInComment(): Uint8Array {
  const fake = Buffer.from(rawZip([])).toString("latin1");
  const honest = rawZip([first]);
  const zip = Buffer.concat([honest, Buffer.from(fake, "latin1")]);
  zip.writeUInt16LE(22, honest.length - 2);
  return zip;
}
