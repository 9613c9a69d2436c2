// Checks the paths of a package's members and collects what is stored of them. https://conda.org/learn/ceps/cep-0034

import type { Meter } from "../archive/limits.ts";
import { ArchiveRefusal } from "../archive/refusal.ts";
import { foldPath } from "../archive/member-path.ts";
import type { TarVisitor } from "../archive/tar.ts";
import type { TarMember } from "../archive/tar-member.ts";
import { createTree, type Tree } from "../archive/tree.ts";
import type { ArchiveLimits } from "./archive.ts";
import type { Findings } from "./findings.ts";
import { STORED_BYTES } from "../stored-budget.ts";

/** `whole` is the only tarball of a `.tar.bz2`; a `.conda` has one for `info/` and one for all other members. */
type Tarball = "whole" | "info" | "payload";

export type PackageMembers = {
  /** Receives the members of one tarball from a tar parser. */
  visitor(tarball: Tarball): TarVisitor;
  readonly tree: Tree;
  /** Contents of the `info/` files that the inspection reads, by path. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  /** Sum of the sizes of all files. */
  readonly unpackedBytes: number;
  /** Returns zstd-compressed JSON lines; call it once, after the last member. */
  fileList(): Uint8Array;
};

export const INDEX = "info/index.json";

const DOCUMENTS = [INDEX, "info/about.json", "info/paths.json", "info/run_exports.json", "info/link.json"];
/** Files that documents contain unchanged: the limit for stored bytes applies before they are read. */
const STORED_UNCHANGED = ["info/about.json", "info/run_exports.json"];
// Windows drops trailing dots and spaces from a name, and reads the text after a colon as the name of a file stream.
const SPECIAL = /^(?:INFO|CONDA-META)[. ]*(?:[:/]|$)/;
const DROPPED = /^[. ]*(?::.*)?$/;
/** Characters of JSON lines in one zstd frame. */
const FRAME_CHARACTERS = 1024 ** 2;
/** Members per forced garbage collection: each leaves garbage, and the collector by itself runs too late. */
export const COLLECT_EVERY = 20_000;

export function createPackageMembers(limits: ArchiveLimits, meter: Meter, findings: Findings): PackageMembers {
  const tree = createTree(meter, findings);
  const documents = new Map<string, Uint8Array>();
  const lines = createLines();
  let [unpackedBytes, count] = [0, 0];
  return {
    visitor: (tarball) => ({
      member(member) {
        checkPath(member, tarball);
        tree.add(member);
        count += 1;
        if (count % COLLECT_EVERY === 0) Bun.gc(true);
        lines.add(member);
        unpackedBytes += member.size;
        // Decompressing bzip2 is slow, so an oversized archive is refused from its headers; zstd is cheap.
        if (tarball === "whole") meter.expectBytes(unpackedBytes);
        if (!DOCUMENTS.includes(member.path)) return false;
        checkDocument(member, limits);
        return true;
      },
      contents: ({ path }, bytes) => void documents.set(path, bytes),
    }),
    tree,
    documents,
    get unpackedBytes() {
      return unpackedBytes;
    },
    fileList: () => lines.end(),
  };
}

export function isInfo(path: string): boolean {
  return path === "info" || path.startsWith("info/");
}

function checkPath(member: TarMember, tarball: Tarball): void {
  const { path, isDotted, type } = member;
  const refuse = (rule: string, message: string, fix: string): never => {
    throw new ArchiveRefusal(rule, path, message, fix);
  };
  const folded = foldPath(path);
  if (!SPECIAL.test(folded)) {
    if (tarball !== "info") return;
    refuse("info-has-payload", "The info- tarball has a member outside info/.", "Move it to the pkg- tarball.");
  }
  if (folded.startsWith("CONDA-META")) {
    const message = "A package must not contain conda-meta/, which belongs to the environment.";
    refuse("reserved-path", message, "Remove conda-meta/ from the package.");
  }
  if (path === "info/repodata_record.json") {
    const message = "A package must not contain this file: clients write it when they extract the package.";
    refuse("reserved-path", message, "Remove the file from the package.");
  }
  const twin = isInfo(path) ? DOCUMENTS.find((document) => document !== path && isTwin(document, folded)) : "info";
  if (twin !== undefined) refuse("info-spelling", `Some systems read this path as ${twin}.`, "Rename the member.");
  if (isDotted) refuse("info-dotted", "Indexers do not find ./info/.", "Remove the leading ./ from the member's path.");
  if (path === "info" && type !== "directory") refuse("info-not-a-folder", "info is not a directory.", "Make it one.");
  if (tarball === "payload") {
    refuse("payload-has-info", "The pkg- tarball contains info/.", "Move info/ to the info- tarball.");
  }
}

function isTwin(document: string, folded: string): boolean {
  const name = foldPath(document);
  return folded.startsWith(name) && DROPPED.test(folded.slice(name.length));
}

function checkDocument({ path, type, size }: TarMember, limits: ArchiveLimits): void {
  const limit = path === INDEX ? limits.indexBytes : STORED_UNCHANGED.includes(path) ? STORED_BYTES : limits.infoBytes;
  if (type !== "file") {
    throw new ArchiveRefusal("info-not-a-file", path, `${path} is a ${type}.`, "Replace it with a regular file.");
  }
  if (size > limit) {
    throw new ArchiveRefusal(
      "info-too-large",
      path,
      `${path} has ${size} bytes; the limit is ${limit} bytes.`,
      "Make the file smaller.",
    );
  }
}

/** Compresses JSON lines frame by frame, so that the complete text of many members is never in memory. */
function createLines(): { add(member: TarMember): void; end(): Uint8Array } {
  const frames: Uint8Array[] = [];
  let text = "";
  const flush = (): void => {
    frames.push(Bun.zstdCompressSync(text, { level: 3 }));
    text = "";
  };
  return {
    add({ path, size, type, mode }) {
      text += `${JSON.stringify({ path, size, type, mode })}\n`;
      if (text.length > FRAME_CHARACTERS) flush();
    },
    end() {
      flush();
      return Buffer.concat(frames);
    },
  };
}
