// Counts what an archive costs while it is read, over all its parts, and stops it at its bounds.

import { ArchiveRefusal } from "./refusal.ts";

export type Meter = {
  /** Unpacked bytes, as they come out of a decoder. */
  addBytes(count: number): void;
  /** Unpacked bytes that headers say there will be: no need to unpack them to know that they are too many. */
  expectBytes(total: number): void;
  /** Tar headers, those that only describe the next member included. */
  addMember(): void;
  /** Characters of paths that are kept in memory. */
  addPath(length: number): void;
};

export type MeterLimits = {
  readonly bytes: number;
  readonly members: number;
  /** Milliseconds of a processor's time that have been used, and those that may be after so many unpacked bytes. */
  readonly busy?: { used(): number; allowed(bytes: number): number } | undefined;
};

const MAX_PATHS = 32 * 1024 ** 2;
/** The time is looked at after so many bytes, or so many small pieces. */
const LOOK_EVERY = 1024 ** 2;
const SMALL_PIECE = 16 * 1024;

export function createMeter(limits: MeterLimits): Meter {
  let [bytes, members, paths, unseen] = [0, 0, 0, 0];
  const checkBytes = (total: number): void => {
    if (total > limits.bytes) throw tooMuch("unpacked-size", `The package unpacks to more than ${limits.bytes} bytes.`);
  };
  const checkTime = (): void => {
    if (!limits.busy) return;
    const allowed = limits.busy.allowed(bytes);
    if (limits.busy.used() <= allowed) return;
    const seconds = Math.ceil(allowed / 1000);
    const message = `Reading the first ${bytes} unpacked bytes took more than ${seconds} seconds of a processor.`;
    throw tooMuch("inspection-time", message);
  };
  return {
    addBytes(count) {
      bytes += count;
      checkBytes(bytes);
      unseen += Math.max(count, SMALL_PIECE);
      if (unseen < LOOK_EVERY) return;
      unseen = 0;
      checkTime();
    },
    expectBytes: checkBytes,
    addMember() {
      members += 1;
      if (members > limits.members)
        throw tooMuch("member-count", `The package has more than ${limits.members} members.`);
    },
    addPath(length) {
      paths += length;
      if (paths > MAX_PATHS)
        throw tooMuch("path-length", `The paths in the package are longer than ${MAX_PATHS} bytes.`);
    },
  };
}

function tooMuch(rule: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, "", message, "Split the package, or ask whoever runs the server for a higher limit.");
}
