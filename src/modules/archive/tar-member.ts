// Describes a member from its tar header and the headers before it; refuses values that only some readers believe.

import { decodeUtf8, pathProblem, targetProblem } from "./member-path.ts";
import type { PaxRecords } from "./pax.ts";
import { sparse, type TarHeader, tarRefusal } from "./tar-header.ts";

export type TarMember = {
  /** Without a leading `./` and a trailing `/`. */
  readonly path: string;
  /** Whether the path has a leading `./` in the archive. */
  readonly isDotted: boolean;
  readonly type: "file" | "directory" | "symlink" | "hardlink";
  readonly size: number;
  readonly mode: number;
  /** The target of a link, `""` otherwise. */
  readonly link: string;
};

/** The values that the headers before a member give it. */
export type Pending = { pax?: PaxRecords; global?: PaxRecords; longName?: string; longLink?: string };

const TYPES: Readonly<Record<string, TarMember["type"]>> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "5": "directory",
};

/** The largest size that fits the header's octal digits. */
const MAX_OCTAL_SIZE = 8 ** 11 - 1;
/** Bytes of the name field. A writer that truncates a longer name can drop a character that would be split. */
const NAME_FIELD = 100;
const SHORTEST_TRUNCATED = NAME_FIELD - 3;

export function describeMember(header: TarHeader, pending: Pending): TarMember {
  const { pax = {}, longName, longLink } = pending;
  const [extendedPath, extendedLink] = [choose(pax.path, longName), choose(pax.linkpath, longLink)];
  const rawPath = extendedPath ?? readName(header.path);
  const type = TYPES[header.type];
  if (header.type === "S") throw sparse(rawPath);
  if (type === undefined) {
    throw tarRefusal("tar-unknown-type", rawPath, "The member is neither a file, a directory nor a link.");
  }
  checkOldDirectory(header, type, pending, rawPath);
  const size = readSize(header, pax, type, rawPath);
  const { path, isDotted } = readPath(rawPath, type);
  const isLink = type === "symlink" || type === "hardlink";
  if (!isLink && extendedLink !== undefined) {
    throw tarRefusal(
      "tar-ambiguous-link",
      path,
      "The member has a link target and is not a link; mamba unpacks it as a link.",
    );
  }
  const link = isLink ? readLink(extendedLink ?? readName(header.link), type, path) : "";
  return { path, isDotted, type, size, mode: header.mode, link };
}

export function readName(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text !== undefined) return text;
  throw tarRefusal("tar-bad-name", Buffer.from(bytes).toString("latin1"), "The name of the member is not UTF-8.");
}

function choose(pax: string | undefined, gnu: string | undefined): string | undefined {
  if (pax !== undefined && gnu !== undefined) {
    throw tarRefusal("tar-ambiguous-header", pax, "A member has one name from pax and another from GNU tar.");
  }
  return pax ?? gnu;
}

/** The oldest tars wrote a directory as a file whose name ends in `/`; some readers test only the header's own name. */
function checkOldDirectory(header: TarHeader, type: TarMember["type"], pending: Pending, path: string): void {
  const { pax, longName, longLink } = pending;
  if (header.type === "\0" && (pax ?? longName ?? longLink) !== undefined) {
    const message = "The member has the type byte of old tars and an extension header, which no old tar wrote.";
    throw tarRefusal("tar-old-type", path, message);
  }
  if (type === "directory" || header.name.at(-1) !== 0x2f) return;
  const isTruncated = header.name.length >= SHORTEST_TRUNCATED && Buffer.byteLength(path) > NAME_FIELD;
  if (!isTruncated) {
    const message = `The name in the member's header ends in "/" like a directory's, but the member is a ${type}.`;
    throw tarRefusal("tar-name-says-folder", path, message);
  }
}

/** Refuses an ambiguous size: two readers would find the next header at different offsets. */
function readSize(header: TarHeader, pax: PaxRecords, type: TarMember["type"], path: string): number {
  const size = pax.size ?? header.size;
  if (size !== header.size && (header.size !== 0 || size <= MAX_OCTAL_SIZE)) {
    throw tarRefusal("tar-ambiguous-size", path, "The pax header and the header of the member give different sizes.");
  }
  if (size > 0 && type !== "file") {
    throw tarRefusal("tar-ambiguous-size", path, `The member is a ${type} but has contents.`);
  }
  return size;
}

function readPath(raw: string, type: TarMember["type"]): { path: string; isDotted: boolean } {
  const isDotted = raw.startsWith("./");
  const bare = isDotted ? raw.slice(2) : raw;
  const path = type === "directory" && bare.endsWith("/") ? bare.slice(0, -1) : bare;
  if (type === "directory" && (raw === "./" || raw === ".")) return { path: "", isDotted };
  const problem = pathProblem(path);
  if (problem !== undefined) throw tarRefusal("tar-bad-name", raw, `The path of the member ${problem}.`);
  return { path, isDotted };
}

function readLink(raw: string, type: "symlink" | "hardlink", path: string): string {
  const link = type === "hardlink" && raw.startsWith("./") ? raw.slice(2) : raw;
  const problem = type === "hardlink" ? pathProblem(link) : targetProblem(link);
  if (problem !== undefined) throw tarRefusal("tar-bad-link", path, `The target of the link ${problem}.`);
  return link;
}
