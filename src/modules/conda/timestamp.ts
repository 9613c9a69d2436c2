// The `timestamp` of a package: milliseconds from current build tools, seconds from old ones.

/** The last second of the year 9999: clients read timestamps up to this value as seconds. */
const LAST_SECOND = 253_402_300_799;

export function toMilliseconds(timestamp: number): number {
  return timestamp <= LAST_SECOND ? timestamp * 1000 : timestamp;
}
