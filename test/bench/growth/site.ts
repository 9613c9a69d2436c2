// A channel of one size on a data folder of its own; each part of the measurement starts a server of its own on it.

import { rm } from "node:fs/promises";
import { join } from "node:path";

import type { ProgressBar } from "../../../src/cli/progress.ts";
import type { Bench } from "../bench.ts";
import { type ChannelSeed, createSeed } from "../channel-seed.ts";
import { createToken, newFolder, type RunningServer, type ServerFolder, withServerOn } from "../server.ts";

export type Site = {
  readonly bench: Bench;
  readonly records: number;
  readonly place: ServerFolder;
  readonly token: string;
  readonly seed: ChannelSeed;
  /** How far it is, for whoever watches. */
  readonly bar: ProgressBar;
  /** What was published to it, so that no two series have the same packages. */
  nextSeries(): string;
  serve<T>(work: (server: RunningServer) => Promise<T>): Promise<T>;
  /** Removes what documents are made of; no server may run. */
  removeIndex(): Promise<void>;
};

/** Its channel is empty at first. */
export async function openSite(bench: Bench, records: number, bar: ProgressBar): Promise<Site> {
  const place = await newFolder(bench);
  const seed = await createSeed(place.dataDir, records);
  const token = await createToken(bench, place.dataDir);
  let series = 0;
  return {
    bench,
    records,
    place,
    token,
    seed,
    bar,
    nextSeries: () => `s${(series += 1)}`,
    serve: (work) => withServerOn(bench, place, work),
    removeIndex: async () => {
      const files = ["index.db", "index.db-wal", "index.db-shm"];
      await Promise.all(files.map((file) => rm(join(place.dataDir, file), { force: true })));
    },
  };
}
