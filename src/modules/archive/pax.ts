// Reads the records of a pax header. Allows only keys that either no reader uses or all readers interpret alike.
// https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html

import { decodeUtf8 } from "./member-path.ts";
import { ArchiveRefusal } from "./refusal.ts";
import { sparse, tarRefusal } from "./tar-header.ts";

/** The records that change a member; times, owners and attributes are checked and ignored. */
export type PaxRecords = {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
};

const MAX_RECORDS = 256;

const MEANINGFUL = ["path", "linkpath", "size"];

const TIME = /^-?\d{1,12}(?:\.\d{1,24})?$/;
const NUMBER = /^(?:0|[1-9]\d{0,15})$/;
const TEXT = /^[^\0-\x1f\x7f]{1,1024}$/;
/** Other keys that Python, GNU tar, libarchive, Go and Rust write for files and links, and the form of their values. */
const DESCRIPTIVE = new Map([
  ["uid", NUMBER],
  ["gid", NUMBER],
  ["uname", TEXT],
  ["gname", TEXT],
  ["mtime", TIME],
  ["atime", TIME],
  ["ctime", TIME],
  ["comment", TEXT],
  ["LIBARCHIVE.creationtime", TIME],
  ["LIBARCHIVE.symlinktype", /^(?:file|dir)$/],
  ["SCHILY.dev", NUMBER],
  ["SCHILY.ino", NUMBER],
  ["SCHILY.nlink", NUMBER],
  ["SCHILY.fflags", TEXT],
]);

/** Extended attributes, which no client unpacks. libarchive fails on longer names and on values that are not base64. */
const ATTRIBUTE = /^(?:SCHILY\.xattr\.[!-~]{1,128}|RHT\.security\.selinux)$/;
const ENCODED_ATTRIBUTE = /^LIBARCHIVE\.xattr\.[!-~]{1,255}$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** A global header applies to all members after it, so it must hold only comments. */
export function readPaxRecords(bytes: Uint8Array, isGlobal: boolean): PaxRecords {
  // Python finds this key even inside the values of other keys.
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes("hdrcharset=")) throw unknownKey("hdrcharset");
  const records = new Map<string, Uint8Array>();
  let at = 0;
  while (at < bytes.length) {
    const [key, value, end] = readPaxRecord(bytes, at);
    if (isGlobal && key !== "comment") {
      throw tarRefusal("tar-global-header", "", "A global pax header has keys that change the members after it.");
    }
    if (!MEANINGFUL.includes(key)) checkRecord(key, value);
    if (records.has(key)) throw tarRefusal("tar-ambiguous-header", "", `A pax header gives "${key}" twice.`);
    records.set(key, value);
    if (records.size > MAX_RECORDS) {
      throw tarRefusal("tar-header-too-large", "", `A pax header has more than ${MAX_RECORDS} records.`);
    }
    at = end;
  }
  if (at === 0) throw tarRefusal("tar-bad-pax", "", "A pax header is empty, which libarchive cannot read.");
  return { ...readText(records, "path"), ...readText(records, "linkpath"), ...readSize(records.get("size")) };
}

/** Reads `{length} {key}={value}\n`, where the length counts the complete record. */
function readPaxRecord(bytes: Uint8Array, start: number): [string, Uint8Array, number] {
  const space = bytes.indexOf(0x20, start);
  const digits = toText(bytes.subarray(start, Math.min(Math.max(space, start), start + 8)));
  const end = /^[1-9][0-9]*$/.test(digits) ? start + Number(digits) : NaN;
  const equals = bytes.indexOf(0x3d, space);
  const isRecord = space === start + digits.length && end <= bytes.length && bytes[end - 1] === 0x0a;
  if (!isRecord || equals <= space + 1 || equals >= end) {
    throw tarRefusal("tar-bad-pax", "", "A pax header has a record of the wrong form or length.");
  }
  return [toText(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1), end];
}

/** Refuses sparse maps (contents), access lists (rights) and other keys that can change the name, type or size. */
function checkRecord(key: string, value: Uint8Array): void {
  if (key.startsWith("GNU.sparse") || key === "SCHILY.realsize") throw sparse("");
  const form = DESCRIPTIVE.get(key) ?? (ENCODED_ATTRIBUTE.test(key) ? BASE64 : undefined);
  if (form === undefined && !ATTRIBUTE.test(key)) throw unknownKey(key);
  const isValid = form === undefined ? value.length > 0 : form.test(decodeUtf8(value) ?? "");
  if (isValid) return;
  const message = `A pax header gives "${key}" an invalid value: some readers stop there, others ignore it.`;
  throw tarRefusal("pax-value", "", message);
}

function unknownKey(key: string): ArchiveRefusal {
  return tarRefusal("pax-key", "", `A pax header has the key "${key}", which readers interpret differently.`);
}

function readText(records: ReadonlyMap<string, Uint8Array>, key: "path" | "linkpath"): PaxRecords {
  const bytes = records.get(key);
  if (bytes === undefined) return {};
  const text = decodeUtf8(bytes);
  if (text === undefined) throw tarRefusal("tar-bad-name", "", "A pax header gives a name that is not UTF-8.");
  if (text.normalize("NFC") === text) return { [key]: text };
  // libarchive composes the names in pax headers, and no others.
  const message = "A pax header gives a name whose accents are not composed; mamba unpacks it under another name.";
  throw new ArchiveRefusal("pax-name-form", text, message, "Rename the file or link to its composed form (NFC).");
}

function readSize(bytes: Uint8Array | undefined): PaxRecords {
  if (bytes === undefined) return {};
  const text = toText(bytes);
  const size = /^(?:0|[1-9][0-9]*)$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(size)) return { size };
  throw tarRefusal("tar-bad-number", "", "A pax header gives a size that is not a valid number.");
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
