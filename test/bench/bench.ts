// The input and the output of every measurement.

import type { Finding, Row } from "./report.ts";

export type Bench = {
  /** An empty folder on the disk of the checkout, removed at the end. */
  readonly room: string;
  /** The command that runs condarium. */
  readonly command: readonly string[];
  readonly runs: number;
  /** Measurements of several channel sizes skip larger ones. */
  readonly records: number;
  /** Reports that a part cannot be measured on this machine. */
  leaveOut(what: string, why: string): void;
};

export type Measurement = {
  readonly name: string;
  /** Free bytes needed on the disk for channels of the given number of records. */
  readonly space: number | ((records: number) => number);
  readonly measure: (bench: Bench) => Promise<readonly Row[]>;
  /** A chart of the results, as SVG. */
  readonly chart?: (findings: readonly Finding[], about: string) => string;
};

export const GB = 1e9;
export const MB = 1e6;

/** Runs A and B alternately, B first in every other run, so that a drift of the machine affects both. */
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
