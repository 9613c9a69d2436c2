// The tree that an archive unpacks to; refuses members that would overwrite each other or be written through a link.

import { createHashSet } from "./hash-set.ts";
import type { Meter } from "./limits.ts";
import { foldPath, staysInside } from "./member-path.ts";
import { createPathNodes, type Kind, type PathNodes } from "./path-nodes.ts";
import { ArchiveRefusal, type Reporter } from "./refusal.ts";
import type { TarMember } from "./tar-member.ts";

export type Tree = {
  add(member: TarMember): void;
  /** Members by path, and the directories they imply. */
  readonly nodes: PathNodes;
  readonly hasExternalLinks: boolean;
  /** Reports the collected warnings, one for each rule. */
  finish(): void;
};

/** The ways in which clients unpack a path. */
type Form = "file" | "link" | "directory";
type Warning = { readonly path: string; readonly other: string; count: number };

const FORMS: readonly Form[] = ["file", "link", "directory"];

const RESERVED = /(?:^|\/)(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\.[^/]*)?$/i;

/** On macOS libarchive reads such a file as attributes of the next member. */
const APPLE_DOUBLE = /(?:^|\/)\._[^/]+$/;

const REPACK = "Build the package again so that each path occurs once and none leads through a link.";

export function createTree(meter: Meter, reporter: Reporter): Tree {
  const nodes = createPathNodes();
  /** Hashes of folded paths: a false alarm in a million packages costs less than storing every path twice. */
  const folded = { file: createHashSet(), link: createHashSet(), directory: createHashSet() };
  /** Random, so that nobody can craft paths whose hashes all fall into one slot. */
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const warnings = new Map<string, Warning>();

  const warn = (rule: string, path: string, other = ""): void => {
    const warning = warnings.get(rule);
    if (warning === undefined) warnings.set(rule, { path, other, count: 1 });
    else warning.count += 1;
  };
  const set = (path: string, kind: Kind, size: number): void => {
    if (!nodes.has(path)) {
      meter.addPath(path.length);
      const key = Number(Bun.hash(foldPath(path), seed));
      const form = formOf(kind);
      for (const other of FORMS) {
        if (!folded[other].has(key)) continue;
        if (other !== form) throw foldedClash(path, form, other);
        if (form !== "directory") warn("case-collision", path);
      }
      folded[form].add(key);
    }
    nodes.set(path, { kind, size });
  };
  /** A known directory has known parents, so most members need one lookup. */
  const addParents = (path: string): void => {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const directory = path.slice(0, end);
      const kind = nodes.get(directory)?.kind;
      if (isDirectory(kind)) return;
      if (kind === "symlink")
        throw refusal("tar-through-link", path, `The member's path leads through the link ${directory}.`);
      if (kind !== undefined) throw fileAsDirectory(path, directory);
      set(directory, "implied", 0);
    }
  };

  return {
    add(member) {
      const { path, type, size, link } = member;
      addParents(path);
      const kind = nodes.get(path)?.kind;
      if (kind === "implied" && type !== "directory") {
        throw type === "symlink"
          ? refusal("tar-through-link", path, "The member is a link where an earlier member needs a directory.")
          : fileAsDirectory(path, path);
      }
      if (kind !== undefined && kind !== "implied") throw duplicate(path, type, kind);
      if (type === "hardlink" && !isFile(nodes.get(link)?.kind)) {
        throw refusal("tar-bad-link", path, `The member is a hard link to ${link}, which is not an earlier file.`);
      }
      if (type === "symlink" && !staysInside(path, link)) warn("external-link", path, link);
      if (RESERVED.test(path)) warn("reserved-name", path);
      if (APPLE_DOUBLE.test(path)) warn("apple-double", path);
      set(path, type, size);
    },
    nodes,
    get hasExternalLinks() {
      return warnings.has("external-link");
    },
    finish() {
      for (const [rule, warning] of warnings) reporter.warn(rule, warning.path, ...describe(rule, warning));
    },
  };
}

function describe(rule: string, { other, count }: Warning): [message: string, fix: string] {
  const more = count > 1 ? ` (and ${count - 1} more)` : "";
  switch (rule) {
    case "external-link":
      return [
        `The symbolic link points outside the package, to ${other}${more}.`,
        "Link to files of the package or of its dependencies by a relative path.",
      ];
    case "case-collision":
      return [
        `The path differs from another only in letter case${more}; some systems keep only one of the two.`,
        "Rename one of the two.",
      ];
    case "apple-double":
      return [
        `On macOS, mamba does not unpack a file whose name begins with "._"${more}.`,
        "Leave such files out: macOS creates them next to other files, and no program needs them.",
      ];
    default:
      return [`The name is reserved on Windows and cannot be unpacked there${more}.`, "Rename the file."];
  }
}

function duplicate(path: string, type: TarMember["type"], kind: Kind): ArchiveRefusal {
  if ((type === "directory") !== (kind === "directory")) return fileAsDirectory(path, path);
  return refusal("tar-duplicate-member", path, "The package contains the path twice.");
}

function fileAsDirectory(path: string, directory: string): ArchiveRefusal {
  return refusal("tar-file-as-directory", path, `The path ${directory} is a file and a directory at once.`);
}

/** Systems that ignore case write files through such a link, and let a directory replace a file or fail on it. */
function foldedClash(path: string, form: Form, other: Form): ArchiveRefusal {
  const message = `The path is a ${form} and differs only in letter case from the path of a ${other}.`;
  return refusal(form === "link" || other === "link" ? "tar-through-link" : "tar-file-as-directory", path, message);
}

function formOf(kind: Kind): Form {
  if (kind === "symlink") return "link";
  return isDirectory(kind) ? "directory" : "file";
}

function isDirectory(kind: Kind | undefined): boolean {
  return kind === "directory" || kind === "implied";
}

function isFile(kind: Kind | undefined): boolean {
  return kind === "file" || kind === "hardlink";
}

function refusal(rule: string, path: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, path, message, REPACK);
}
