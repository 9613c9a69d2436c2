// Sums up the cost of reading an archive over all its parts, and stops the reading at the limits.

import { ArchiveRefusal } from "./refusal.ts";

export type Meter = {
  /** Adds unpacked bytes that a decoder has produced. */
  addBytes(count: number): void;
  /** Checks the unpacked size that headers announce, so that an oversized archive is refused before it is unpacked. */
  expectBytes(total: number): void;
  /** Counts a tar header; headers that only describe the next member count too. */
  addMember(): void;
  /** Adds the characters of a path that is stored in memory. */
  addPath(length: number): void;
};

export type MeterLimits = {
  readonly bytes: number;
  readonly members: number;
  /** CPU time in milliseconds: used so far, and allowed after `bytes` unpacked bytes. */
  readonly busy?: { used(): number; allowed(bytes: number): number } | undefined;
};

const MAX_PATHS = 32 * 1024 ** 2;
/** Bytes between two checks of the CPU time; a smaller chunk counts as `SMALL_CHUNK` bytes. */
const CHECK_EVERY = 1024 ** 2;
const SMALL_CHUNK = 16 * 1024;

export function createMeter(limits: MeterLimits): Meter {
  let [bytes, members, paths, unchecked] = [0, 0, 0, 0];
  const checkBytes = (total: number): void => {
    if (total > limits.bytes)
      throw overLimit("unpacked-size", `The package unpacks to more than ${limits.bytes} bytes.`);
  };
  const checkTime = (): void => {
    if (!limits.busy) return;
    const allowed = limits.busy.allowed(bytes);
    if (limits.busy.used() <= allowed) return;
    const seconds = Math.ceil(allowed / 1000);
    const message = `Reading the first ${bytes} unpacked bytes took more than ${seconds} seconds of CPU time.`;
    throw overLimit("inspection-time", message);
  };
  return {
    addBytes(count) {
      bytes += count;
      checkBytes(bytes);
      unchecked += Math.max(count, SMALL_CHUNK);
      if (unchecked < CHECK_EVERY) return;
      unchecked = 0;
      checkTime();
    },
    expectBytes: checkBytes,
    addMember() {
      members += 1;
      if (members > limits.members)
        throw overLimit("member-count", `The package has more than ${limits.members} members.`);
    },
    addPath(length) {
      paths += length;
      if (paths > MAX_PATHS)
        throw overLimit("path-length", `The paths in the package have more than ${MAX_PATHS} bytes in total.`);
    },
  };
}

function overLimit(rule: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(
    rule,
    "",
    message,
    "Split the package, or ask the server's administrator for a higher limit.",
  );
}
