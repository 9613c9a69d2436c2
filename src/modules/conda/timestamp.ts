// The `timestamp` of a package: milliseconds by now, seconds when the first tools wrote it.

/** The last second of the year 9999: up to here clients take a timestamp as seconds. */
const LAST_SECOND = 253_402_300_799;

export function toMilliseconds(timestamp: number): number {
  return timestamp <= LAST_SECOND ? timestamp * 1000 : timestamp;
}
