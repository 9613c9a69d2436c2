// Counts what an archive costs while it is read, over all its parts, and stops it at its bounds.

import { ArchiveRefusal } from "./refusal.ts";

export type Meter = {
  /** Unpacked bytes, as they come out of a decoder. */
  addBytes(count: number): void;
  /** Tar headers, those that only describe the next member included. */
  addMember(): void;
  /** Characters of paths that are kept in memory. */
  addPath(length: number): void;
};

export type MeterLimits = { readonly bytes: number; readonly members: number };

const MAX_PATHS = 32 * 1024 ** 2;

export function createMeter(limits: MeterLimits): Meter {
  let [bytes, members, paths] = [0, 0, 0];
  return {
    addBytes(count) {
      bytes += count;
      if (bytes > limits.bytes)
        throw tooMuch("unpacked-size", `The package unpacks to more than ${limits.bytes} bytes.`);
    },
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
