// The `.conda` format: a ZIP archive of two tarballs and `metadata.json`. https://conda.org/learn/ceps/cep-0035

import type { Meter } from "../archive/limits.ts";
import { ArchiveRefusal } from "../archive/refusal.ts";
import { walkTar } from "../archive/tar.ts";
import { readZip, type ZipMember } from "../archive/zip.ts";
import { decompressZstd } from "../archive/zstd.ts";
import type { ArchiveLimits } from "./archive.ts";
import type { Findings } from "./findings.ts";
import { readInfoJson } from "./info/json.ts";
import type { PackageMembers } from "./package-members.ts";
import { isJsonObject } from "./strict-json.ts";

/** What the container says about the package, to compare with the package metadata. */
export type Container = {
  /** `{name}-{version}-{build}` in the names of its tarballs. */
  readonly stems: readonly string[];
  readonly hasPayload: boolean;
};

type Part = { readonly role: "metadata" | "info" | "payload"; readonly stem: string; readonly member: ZipMember };

type Walk = {
  readonly fd: number;
  readonly size: number;
  readonly limits: ArchiveLimits;
  readonly meter: Meter;
  readonly members: PackageMembers;
  readonly findings: Findings;
};

const METADATA = "metadata.json";
const MAX_METADATA = 16 * 1024;
const FORMAT_VERSION = 2;
/** No other characters: mamba reads the text after a `/` as the name, and names and versions have only these. */
const TARBALL = /^(info|pkg)-([\w.+!~=-]+)\.tar\.zst$/;

export async function walkConda({ fd, size, limits, meter, members, findings }: Walk): Promise<Container> {
  const parts = readZip(fd, size, findings).map(toPart);
  checkParts(parts, findings);
  for (const { role, member } of parts) {
    if (role === "metadata") await checkMetadata(member, limits, findings);
    else {
      const options = { path: member.name, windowLog: limits.zstdWindowLog };
      await walkTar(decompressZstd(member.read(), options), members.visitor(role), meter);
    }
  }
  const stems = parts.flatMap(({ role, stem }) => (role === "metadata" ? [] : [stem]));
  return { stems, hasPayload: parts.some(({ role }) => role === "payload") };
}

function toPart(member: ZipMember): Part {
  if (member.name === METADATA) return { role: "metadata", stem: "", member };
  const [, kind, stem] = TARBALL.exec(member.name) ?? [];
  if (stem !== undefined) return { role: kind === "info" ? "info" : "payload", stem, member };
  const message = "A .conda file contains only metadata.json, an info- tarball and a pkg- tarball.";
  throw new ArchiveRefusal("conda-unknown-member", member.name, message, "Remove the member.");
}

function checkParts(parts: readonly Part[], findings: Findings): void {
  const countOf = (wanted: Part["role"]): number => parts.filter(({ role }) => role === wanted).length;
  if (countOf("info") === 0) {
    const fix = "Rebuild the package: the info- tarball holds its metadata.";
    throw new ArchiveRefusal("conda-no-info", "", "The .conda file has no info- tarball.", fix);
  }
  if (countOf("info") > 1 || countOf("payload") > 1) {
    const message = "The .conda file has two tarballs of one kind; some readers use one of them, others both.";
    throw new ArchiveRefusal("conda-two-tarballs", "", message, "Keep only the one that belongs to the package.");
  }
  if (countOf("payload") === 0) {
    findings.warn("conda-no-payload", "", "The .conda file has no pkg- tarball.", "Add one, even if it is empty.");
  }
  if (countOf("metadata") === 0) {
    const fix = `Add ${METADATA} with {"conda_pkg_format_version": ${FORMAT_VERSION}}.`;
    findings.warn("conda-no-metadata", "", `The .conda file has no ${METADATA}.`, fix);
  }
}

async function checkMetadata(member: ZipMember, limits: ArchiveLimits, findings: Findings): Promise<void> {
  const fix = `Set the content of ${METADATA} to {"conda_pkg_format_version": ${FORMAT_VERSION}}.`;
  if (member.size > MAX_METADATA) {
    throw new ArchiveRefusal("conda-metadata", METADATA, `${METADATA} is larger than ${MAX_METADATA} bytes.`, fix);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of member.read()) chunks.push(Buffer.from(chunk));
  const file = { path: METADATA, need: "required", limits: { maxDepth: limits.jsonDepth } } as const;
  const metadata = readInfoJson(file, Buffer.concat(chunks), findings);
  if (metadata === undefined) return;
  if (isJsonObject(metadata) && metadata.conda_pkg_format_version === FORMAT_VERSION) return;
  findings.refuse("conda-metadata", METADATA, `The .conda file is not of format version ${FORMAT_VERSION}.`, fix);
}
