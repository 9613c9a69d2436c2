// Turns the members of an archive into the data stored for the package, or into a refusal.

import type { ArchiveFormat, Inspection, InspectOptions, PackageIdentity } from "./archive.ts";
import type { Container } from "./conda-container.ts";
import type { Findings } from "./findings.ts";
import { readAbout } from "./info/about.ts";
import { identify, readIndex } from "./info/index.ts";
import type { InfoLimits } from "./info/json.ts";
import { type LinkJson, readLink } from "./info/link.ts";
import { type PathEntry, type PathsJson, readPaths } from "./info/paths.ts";
import { readRunExports } from "./info/run-exports.ts";
import { COLLECT_EVERY, INDEX, isInfo, type PackageMembers } from "./package-members.ts";
import { canonicalRecord } from "./record.ts";
import { storedProblem } from "./stored.ts";

const SCRIPTS = ["pre-link", "post-link", "pre-unlink", "post-unlink"];
const ACTIVATION = ["activate", "deactivate"];

export function describePackage(
  members: PackageMembers,
  container: Container & { readonly format: ArchiveFormat },
  options: InspectOptions,
  findings: Findings,
): Inspection {
  const limits: InfoLimits = {
    jsonDepth: options.limits.jsonDepth,
    ...(options.now === undefined ? {} : { now: options.now }),
  };
  const read = <T>(
    name: string,
    reader: (bytes: Uint8Array, into: Findings, bounds: InfoLimits) => T,
  ): T | undefined => {
    const bytes = members.documents.get(`info/${name}`);
    return bytes && reader(bytes, findings, limits);
  };
  const index = read("index.json", readIndex);
  const identity = index && identify(index, container.format, findings);
  const about = read("about.json", readAbout) ?? {};
  const runExports = read("run_exports.json", readRunExports) ?? {};
  const link = read("link.json", readLink);
  const listing = createListing(members);
  const paths = read("paths.json", (bytes, into, bounds) => readPaths(bytes, into, bounds, listing.take));
  if (!members.documents.has(INDEX)) {
    findings.refuse("index-missing", INDEX, `The package has no ${INDEX}.`, "Rebuild it with a build tool.");
  }
  listing.finish(findings, paths !== undefined);
  if (identity !== undefined) checkStems(identity, container, findings);
  if (index === undefined || identity === undefined || findings.refused) {
    return { kind: "refused", findings: findings.list() };
  }
  const record = canonicalRecord(index);
  const flags = flagsOf(members, identity.name, container.hasPayload, link, paths);
  const metadata = { about, runExports, flags };
  // Checked here so that oversized metadata is not copied to another thread.
  const problem = storedProblem(record, { ...metadata, findings: findings.list() });
  if (problem !== undefined) return { kind: "refused", findings: [problem] };
  return {
    kind: "accepted",
    format: container.format,
    identity,
    record,
    metadata,
    fileList: members.fileList(),
    unpackedBytes: members.unpackedBytes,
    findings: findings.list(),
  };
}

/** The names of tarballs are only hints; the metadata decides. The publish compares the name of the file itself. */
function checkStems({ name, version, build }: PackageIdentity, container: Container, findings: Findings): void {
  const stem = `${name}-${version}-${build}`;
  for (const other of container.stems) {
    if (other === stem) continue;
    const fix = `Name the tarballs info-${stem}.tar.zst and pkg-${stem}.tar.zst.`;
    findings.warn("conda-stem", other, `The package metadata gives the tarball the name ${stem}.`, fix);
  }
}

/** Compares `info/paths.json` with the members while it is parsed; does not compare checksums. */
function createListing({ documents, tree: { nodes } }: PackageMembers): {
  /** Whether the path was listed before; always false for a path that is not in the package. */
  take(entry: PathEntry): boolean;
  finish(findings: Findings, isUsable: boolean): void;
} {
  const fix = "Rebuild the package so that info/paths.json matches its files.";
  const absent = createTally("info/paths.json lists a path that is not in the package");
  const resized = createTally("The file does not have the size that info/paths.json lists");
  const unlisted = createTally("info/paths.json does not list the file");
  let entries = 0;
  return {
    take({ path, type, size }) {
      entries += 1;
      if (entries % COLLECT_EVERY === 0) Bun.gc(true);
      const mark = nodes.mark(path);
      if (mark === "unknown") absent.add(path);
      if (mark !== "first" || type !== "hardlink" || size === undefined) return mark === "again";
      const node = nodes.get(path);
      if (node?.kind === "file" && size !== node.size) resized.add(path);
      return false;
    },
    finish(findings, isUsable) {
      if (!documents.has("info/paths.json")) {
        findings.warn("paths-missing", "info/paths.json", "The package has no info/paths.json.", fix);
      }
      if (!isUsable) return;
      for (const [path, { kind }] of nodes.unmarked()) {
        if (kind !== "directory" && kind !== "implied" && !isInfo(path)) unlisted.add(path);
      }
      for (const tally of [absent, resized, unlisted]) tally.warn(findings, fix);
    },
  };
}

/** Counts the paths with one problem; adds one warning that names the first path. */
function createTally(problem: string): { add(path: string): void; warn(findings: Findings, fix: string): void } {
  let first: string | undefined;
  let others = -1;
  return {
    add(path) {
      first ??= path;
      others += 1;
    },
    warn(findings, fix) {
      const more = others > 0 ? ` (and ${others} more)` : "";
      if (first !== undefined) findings.warn("paths-disagree", first, `${problem}${more}.`, fix);
    },
  };
}

function flagsOf(
  members: PackageMembers,
  name: string,
  hasPayload: boolean,
  link: LinkJson | undefined,
  paths: PathsJson | undefined,
): string[] {
  const { nodes, hasExternalLinks } = members.tree;
  const scripts = SCRIPTS.filter(
    (action) => nodes.has(`bin/.${name}-${action}.sh`) || nodes.has(`Scripts/.${name}-${action}.bat`),
  );
  return [
    ...scripts,
    ...ACTIVATION.filter((action) => nodes.has(`etc/conda/${action}.d`)),
    ...(link !== undefined && link.entryPoints.length > 0 ? ["entry-points"] : []),
    ...(hasExternalLinks ? ["external-links"] : []),
    ...(paths?.flags ?? []),
    ...(hasPayload ? [] : ["no-payload"]),
  ];
}
