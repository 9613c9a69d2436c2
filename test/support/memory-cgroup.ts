// A group of processes that may have so much memory together, on Linux, for those who may make one.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type MemoryCgroup = {
  /** What to run a command under, to have it in the group from its beginning. */
  readonly under: readonly string[];
  /** The most bytes that were used since the last `forgetPeak`, with what the system keeps of files; undefined where it does not tell. */
  peak(): number | undefined;
  forgetPeak(): void;
  /** How often the system has killed a process of it. */
  kills(): number;
  /** Once no process is in it any more. */
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

/** Undefined where no such group can be made. */
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
