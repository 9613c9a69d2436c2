// A group of processes with one limit of memory, on Linux, for users who are allowed to create one.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type MemoryCgroup = {
  /** The command prefix that starts a command inside the group. */
  readonly under: readonly string[];
  /** Peak bytes since the last `forgetPeak`, including the file cache; undefined where the system reports none. */
  peak(): number | undefined;
  forgetPeak(): void;
  /** How often the system has killed a process of the group. */
  kills(): number;
  /** Resolves once the group has no process. */
  remove(): void;
};

type Files = { readonly limit: string; readonly peak: string; readonly events: string };

const ROOT = "/sys/fs/cgroup";
const FIRST: Files = {
  limit: "memory.limit_in_bytes",
  peak: "memory.max_usage_in_bytes",
  events: "memory.oom_control",
};
const SECOND: Files = { limit: "memory.max", peak: "memory.peak", events: "memory.events" };

/** Undefined where no such group can be created. */
export function createMemoryCgroup(bytes: number): MemoryCgroup | undefined {
  const isFirst = existsSync(join(ROOT, "memory/memory.limit_in_bytes"));
  const files = isFirst ? FIRST : SECOND;
  const folder = join(
    ROOT,
    isFirst ? "memory" : "",
    `condarium-test-${process.pid}-${crypto.randomUUID().slice(0, 8)}`,
  );
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  try {
    mkdirSync(folder);
    writeFileSync(join(folder, files.limit), String(bytes));
    if (!isFirst) tryTo(() => writeFileSync(join(folder, "memory.swap.max"), "0"));
  } catch {
    tryTo(() => rmdirSync(folder));
    return undefined;
  }
  return {
    under: ["sh", "-c", `echo $$ > ${join(folder, "cgroup.procs")} && exec "$@"`, "sh"],
    peak: () => tryTo(() => Number(read(files.peak))),
    forgetPeak: () => tryTo(() => writeFileSync(join(folder, files.peak), "0")),
    kills: () => Number(/^oom_kill (\d+)$/m.exec(read(files.events))?.[1] ?? 0),
    remove: () => tryTo(() => rmdirSync(folder)),
  };
}

function tryTo<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
