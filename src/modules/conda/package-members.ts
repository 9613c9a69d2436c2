// Which members a conda package may have where, and what is kept of them. https://conda.org/learn/ceps/cep-0034

import type { Meter } from "../archive/limits.ts";
import { ArchiveRefusal } from "../archive/refusal.ts";
import { foldPath } from "../archive/member-path.ts";
import type { TarVisitor } from "../archive/tar.ts";
import type { TarMember } from "../archive/tar-member.ts";
import { createTree, type Tree } from "../archive/tree.ts";
import type { ArchiveLimits } from "./archive.ts";
import type { Findings } from "./findings.ts";
import { STORED_BYTES } from "../stored-budget.ts";

/** `whole` is the one tarball of a `.tar.bz2`; a `.conda` has one for `info/` and one for everything else. */
type Tarball = "whole" | "info" | "payload";

export type PackageMembers = {
  /** What a tar parser tells of one of the tarballs. */
  visitor(tarball: Tarball): TarVisitor;
  readonly tree: Tree;
  /** The files of `info/` that are read, by path. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  /** Bytes of all files. */
  readonly unpackedBytes: number;
  /** zstd-compressed JSON lines; called once, at the end. */
  fileList(): Uint8Array;
};

export const INDEX = "info/index.json";

const DOCUMENTS = [INDEX, "info/about.json", "info/paths.json", "info/run_exports.json", "info/link.json"];
/** What goes into documents as it is: more than may be stored is not even read. */
const STORED_WHOLE = ["info/about.json", "info/run_exports.json"];
// Windows drops dots and spaces at the end of a name, and takes what follows a colon for a stream of the file.
const SPECIAL = /^(?:INFO|CONDA-META)[. ]*(?:[:/]|$)/;
const DROPPED = /^[. ]*(?::.*)?$/;
const PIECE = 1024 ** 2;
/** Members leave so much behind that waiting for the heap to be collected by itself costs more memory than it saves time. */
export const COLLECT_EVERY = 20_000;

export function createPackageMembers(limits: ArchiveLimits, meter: Meter, findings: Findings): PackageMembers {
  const tree = createTree(meter, findings);
  const documents = new Map<string, Uint8Array>();
  const lines = createLines();
  let [unpackedBytes, count] = [0, 0];
  return {
    visitor: (tarball) => ({
      member(member) {
        checkPlace(member, tarball);
        tree.add(member);
        count += 1;
        if (count % COLLECT_EVERY === 0) Bun.gc(true);
        lines.add(member);
        unpackedBytes += member.size;
        // To unpack them costs most with bzip2, and little with zstd.
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

function checkPlace(member: TarMember, tarball: Tarball): void {
  const { path, isDotted, type } = member;
  const refuse = (rule: string, message: string, fix: string): never => {
    throw new ArchiveRefusal(rule, path, message, fix);
  };
  const folded = foldPath(path);
  if (!SPECIAL.test(folded)) {
    if (tarball !== "info") return;
    refuse("info-has-payload", "The info- tarball has more than info/.", "Put the rest into the pkg- tarball.");
  }
  if (folded.startsWith("CONDA-META")) {
    refuse("reserved-path", "conda-meta/ belongs to the environment.", "Leave conda-meta/ out of the package.");
  }
  if (path === "info/repodata_record.json") {
    refuse("reserved-path", "Only clients write this file, when they unpack.", "Leave it out of the package.");
  }
  const twin = isInfo(path) ? DOCUMENTS.find((document) => document !== path && isTwin(document, folded)) : "info";
  if (twin !== undefined) refuse("info-spelling", `On some systems this is ${twin}.`, "Rename the file or folder.");
  if (isDotted) refuse("info-dotted", "Indexers do not find ./info/.", "Write the member without ./ in front.");
  if (path === "info" && type !== "directory") refuse("info-not-a-folder", "info is not a folder.", "Make it one.");
  if (tarball === "payload") {
    refuse("payload-has-info", "info/ is in the pkg- tarball.", "Put it into the info- tarball only.");
  }
}

function isTwin(document: string, folded: string): boolean {
  const name = foldPath(document);
  return folded.startsWith(name) && DROPPED.test(folded.slice(name.length));
}

function checkDocument({ path, type, size }: TarMember, limits: ArchiveLimits): void {
  const limit = path === INDEX ? limits.indexBytes : STORED_WHOLE.includes(path) ? STORED_BYTES : limits.infoBytes;
  if (type !== "file") {
    throw new ArchiveRefusal("info-not-a-file", path, `${path} is a ${type}.`, "Write it as a plain file.");
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

/** Compresses JSON lines piece by piece, each one frame, so that the text of many members is never held as a whole. */
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
      if (text.length > PIECE) flush();
    },
    end() {
      flush();
      return Buffer.concat(frames);
    },
  };
}
