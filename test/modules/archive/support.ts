// Shared by the tests of the archive readers: files to read from, and the rule of a refusal.

import { afterAll } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createMeter, type MeterLimits } from "../../../src/modules/archive/limits.ts";
import { ArchiveRefusal } from "../../../src/modules/archive/refusal.ts";
import { createTarParser } from "../../../src/modules/archive/tar.ts";
import type { TarMember } from "../../../src/modules/archive/tar-member.ts";
import { createTree } from "../../../src/modules/archive/tree.ts";

/** Collects the rules of warnings. */
export function createReporter(): { warn(rule: string): void; readonly rules: string[] } {
  const rules: string[] = [];
  return { warn: (rule) => void rules.push(rule), rules };
}

/** A folder for the tests of one file; deleted when they end. */
export function useTempFolder(): { write(bytes: Uint8Array, name?: string): string } {
  const folder = mkdtempSync(join(tmpdir(), "condarium-archive-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  return {
    write(bytes, name = "archive") {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      return path;
    },
  };
}

export async function withOpenFile<T>(path: string, use: (fd: number) => Promise<T> | T): Promise<T> {
  const fd = openSync(path, "r");
  try {
    return await use(fd);
  } finally {
    closeSync(fd);
  }
}

/** The rule that refuses, or undefined when none does; other errors are rethrown. */
export async function ruleOf(attempt: () => unknown): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof ArchiveRefusal) return error.rule;
    throw error;
  }
}

/** Reads a tar like a package: with its tree, and with the contents of the members that `isWanted` selects. */
export function readTar(
  chunks: readonly Uint8Array[],
  isWanted: (path: string) => boolean = () => false,
  limits: MeterLimits = { bytes: Infinity, members: Infinity },
): { members: TarMember[]; contents: Record<string, string>; warnings: string[] } {
  const reporter = createReporter();
  const meter = createMeter(limits);
  const tree = createTree(meter, reporter);
  const members: TarMember[] = [];
  const contents: Record<string, string> = {};
  const parser = createTarParser(
    {
      member(member) {
        tree.add(member);
        members.push(member);
        return isWanted(member.path);
      },
      contents: (member, bytes) => void (contents[member.path] = Buffer.from(bytes).toString()),
    },
    meter,
  );
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  tree.finish();
  return { members, contents, warnings: reporter.rules };
}
