// The tree that the members of an archive make when they are unpacked, and what must not happen while they are.

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
  /** Warns of what was found, once for each kind. */
  finish(): void;
};

/** What a path is to who unpacks there. */
type Form = "file" | "link" | "directory";
type Sighting = { readonly path: string; readonly other: string; count: number };

const FORMS: readonly Form[] = ["file", "link", "directory"];

const RESERVED = /(?:^|\/)(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\.[^/]*)?$/i;

/** libarchive takes it for attributes of the next member where the system is macOS. */
const APPLE_DOUBLE = /(?:^|\/)\._[^/]+$/;

const REPACK = "Build the package again so that each path is there once and nothing lies beyond a link.";

export function createTree(meter: Meter, reporter: Reporter): Tree {
  const nodes = createPathNodes();
  /** Hashes: a false alarm in a million packages costs less than holding every path a second time. */
  const folded = { file: createHashSet(), link: createHashSet(), directory: createHashSet() };
  /** Unknown to others, so that nobody can build paths whose hashes all fall into one slot. */
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  const sightings = new Map<string, Sighting>();

  const see = (rule: string, path: string, other = ""): void => {
    const sighting = sightings.get(rule);
    if (sighting === undefined) sightings.set(rule, { path, other, count: 1 });
    else sighting.count += 1;
  };
  const set = (path: string, kind: Kind, size: number): void => {
    if (!nodes.has(path)) {
      meter.addPath(path.length);
      const key = Number(Bun.hash(foldPath(path), seed));
      const form = formOf(kind);
      for (const other of FORMS) {
        if (!folded[other].has(key)) continue;
        if (other !== form) throw twin(path, form, other);
        if (form !== "directory") see("case-collision", path);
      }
      folded[form].add(key);
    }
    nodes.set(path, { kind, size });
  };
  /** A directory that is known has known parents, so most members need one look. */
  const addParents = (path: string): void => {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const directory = path.slice(0, end);
      const kind = nodes.get(directory)?.kind;
      if (isDirectory(kind)) return;
      if (kind === "symlink") throw refusal("tar-through-link", path, `The member lies beyond the link ${directory}.`);
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
          ? refusal("tar-through-link", path, "The link stands where an earlier member needs a directory.")
          : fileAsDirectory(path, path);
      }
      if (kind !== undefined && kind !== "implied") throw duplicate(path, type, kind);
      if (type === "hardlink" && !isFile(nodes.get(link)?.kind)) {
        throw refusal("tar-bad-link", path, `The member is a hard link to ${link}, which is no file before it.`);
      }
      if (type === "symlink" && !staysInside(path, link)) see("external-link", path, link);
      if (RESERVED.test(path)) see("reserved-name", path);
      if (APPLE_DOUBLE.test(path)) see("apple-double", path);
      set(path, type, size);
    },
    nodes,
    get hasExternalLinks() {
      return sightings.has("external-link");
    },
    finish() {
      for (const [rule, sighting] of sightings) reporter.warn(rule, sighting.path, ...describe(rule, sighting));
    },
  };
}

function describe(rule: string, { other, count }: Sighting): [message: string, fix: string] {
  const more = count > 1 ? ` (and ${count - 1} more)` : "";
  switch (rule) {
    case "external-link":
      return [
        `The symbolic link leads out of the package, to ${other}${more}.`,
        "Link to files of the package or of its dependencies by a relative path.",
      ];
    case "case-collision":
      return [
        `The path differs from another only in the case of its letters${more}; some systems keep only one of them.`,
        "Rename one of the two.",
      ];
    case "apple-double":
      return [
        `On macOS, mamba does not unpack a file whose name begins with "._"${more}.`,
        "Leave such files out: macOS makes them beside others, and no program needs them.",
      ];
    default:
      return [`The name is reserved on Windows and cannot be unpacked there${more}.`, "Rename the file."];
  }
}

function duplicate(path: string, type: TarMember["type"], kind: Kind): ArchiveRefusal {
  if ((type === "directory") !== (kind === "directory")) return fileAsDirectory(path, path);
  return refusal("tar-duplicate-member", path, "The package has the path twice.");
}

function fileAsDirectory(path: string, directory: string): ArchiveRefusal {
  return refusal("tar-file-as-directory", path, `The path ${directory} is a file and a directory at once.`);
}

/** Where case does not count, files are written through such a link, and a file gives way to a directory or stops it. */
function twin(path: string, form: Form, other: Form): ArchiveRefusal {
  const message = `The path is a ${form} and differs only in case from that of a ${other}.`;
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
