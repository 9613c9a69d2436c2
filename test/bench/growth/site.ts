// A channel of one size in its own data folder; each part of the measurement starts its own server on it.

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
  /** Progress messages for a person. */
  readonly bar: ProgressBar;
  /** The names published so far, so that no two series publish the same packages. */
  nextSeries(): string;
  serve<T>(work: (server: RunningServer) => Promise<T>): Promise<T>;
  /** Removes the derived data; no server must run. */
  removeIndex(): Promise<void>;
};

/** The channel is empty at first. */
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
