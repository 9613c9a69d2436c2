// What every measurement is given, and what it gives back.

import type { Finding, Row } from "./report.ts";

export type Bench = {
  /** An empty folder on the disk of the checkout, removed at the end. */
  readonly room: string;
  /** How condarium is called. */
  readonly command: readonly string[];
  readonly runs: number;
  /** Larger channels are left out where a measurement has several. */
  readonly records: number;
  /** Says that a part cannot be measured on this machine. */
  leaveOut(what: string, why: string): void;
};

export type Measurement = {
  readonly name: string;
  /** Free bytes it wants on the disk; for channels of so many records. */
  readonly space: number | ((records: number) => number);
  readonly measure: (bench: Bench) => Promise<readonly Row[]>;
  /** A picture of what it found, as SVG. */
  readonly chart?: (findings: readonly Finding[], about: string) => string;
};

export const GB = 1e9;
export const MB = 1e6;

/** Runs A and B by turns, B first in every other run, so that a drift of the machine hits both. */
export async function byTurns<T>(runs: number, a: () => Promise<T>, b: () => Promise<T>): Promise<{ a: T[]; b: T[] }> {
  const results: { a: T[]; b: T[] } = { a: [], b: [] };
  const turns = [async () => results.a.push(await a()), async () => results.b.push(await b())];
  for (let run = 0; run < runs; run += 1) {
    for (const turn of run % 2 === 0 ? turns : turns.toReversed()) await turn();
  }
  return results;
}

export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}
