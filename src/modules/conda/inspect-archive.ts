// Inspects a package file: the only entry point. Takes its path; returns record, metadata, file list and findings.

import { closeSync, fstatSync, openSync } from "node:fs";

import { decompressBzip2 } from "../archive/bzip2.ts";
import { readAt, readRange } from "../archive/file-range.ts";
import { createMeter, type Meter } from "../archive/limits.ts";
import { ArchiveRefusal } from "../archive/refusal.ts";
import { walkTar } from "../archive/tar.ts";
import type { ArchiveFormat, Inspection, InspectOptions } from "./archive.ts";
import { type Container, walkConda } from "./conda-container.ts";
import { describePackage } from "./describe-package.ts";
import { formatOf } from "./file-name.ts";
import { createFindings, type Findings } from "./findings.ts";
import { createPackageMembers, type PackageMembers } from "./package-members.ts";

/** Packed plus unpacked bytes that extend the time limit by the base time once more. */
const BYTES_FOR_BASE = 50e6;

/** Throws only when the server cannot read the file; every fault of the package is a finding. */
export async function inspectArchive(path: string, options: InspectOptions): Promise<Inspection> {
  const findings = createFindings();
  const fd = openSync(path, "r");
  try {
    return await inspectFile(fd, options, findings);
  } catch (error) {
    if (!(error instanceof ArchiveRefusal)) throw error;
    findings.refuse(error.rule, error.path, error.message, error.fix);
    return { kind: "refused", findings: findings.list() };
  } finally {
    closeSync(fd);
  }
}

async function inspectFile(fd: number, options: InspectOptions, findings: Findings): Promise<Inspection> {
  const { limits, fileName, busy } = options;
  const { size } = fstatSync(fd);
  const format = checkFormat(fileName, readAt(fd, 0, Math.min(size, 4)));
  const bytes = Math.max(limits.unpackedBytes, limits.unpackedRatio * size);
  const allowed = (unpacked: number): number => limits.busyMs * (1 + (size + unpacked) / BYTES_FOR_BASE);
  const meter = createMeter({ bytes, members: limits.members, busy: busy && { used: busy, allowed } });
  const members = createPackageMembers(limits, meter, findings);
  const container =
    format === "conda"
      ? await walkConda({ fd, size, limits, meter, members, findings })
      : await walkTarBz2(fd, size, meter, members);
  members.tree.finish();
  return describePackage(members, { ...container, format }, options, findings);
}

async function walkTarBz2(fd: number, size: number, meter: Meter, members: PackageMembers): Promise<Container> {
  await walkTar(decompressBzip2(readRange(fd, 0, size)), members.visitor("whole"), meter);
  return { stems: [], hasPayload: true };
}

/** Returns the format that the file name promises. Throws when the first bytes are of another format. */
function checkFormat(fileName: string, start: Buffer): ArchiveFormat {
  const promised = formatOf(fileName);
  const found = formatOfBytes(start.toString("latin1"));
  if (promised === undefined) {
    const fix = "Give the file the extension of its format.";
    throw refusal("file-extension", "The file name must end in .conda or .tar.bz2.", fix);
  }
  if (start.length === 0) throw refusal("file-empty", "The file is empty.", "Rebuild the package and upload it again.");
  if (found === undefined) {
    const message = `The file is not a ${promised === "conda" ? "ZIP" : "bzip2"} archive.`;
    throw refusal("file-not-an-archive", message, "Upload the package file that the build tool wrote.");
  }
  if (found === promised) return promised;
  const message = `The file name ends in .${promised}, but the content is a .${found} package.`;
  throw refusal("file-wrong-container", message, `Rename the file so that it ends in .${found}.`);
}

function formatOfBytes(start: string): ArchiveFormat | undefined {
  if (start.startsWith("PK")) return "conda";
  return start.startsWith("BZh") ? "tar.bz2" : undefined;
}

function refusal(rule: string, message: string, fix: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, "", message, fix);
}
