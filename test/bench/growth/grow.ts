// Fills the channel in ten steps beside its running server, and publishes after each: a publish costs what it changes.

import { output } from "../../e2e/run.ts";
import { percentile, type Row } from "../report.ts";
import type { MeasuredServer, RunningServer } from "../server.ts";
import { askChild } from "./child.ts";
import { type PublishAndReadLoad, timesShape } from "./publish-and-read.ts";
import { attempt } from "./rows.ts";
import type { Site } from "./site.ts";

/** The size of the smallest channel, the reference for the others. */
export const REFERENCE_RECORDS = 100;
/** The limit of the ratio, for 95 of 100 publishes, to alternate publishes to the small channel. */
export const PUBLISH_RATIO = 1.3;
export const PUBLISH_FULL = "publish at 100 %, by turns with the small channel";
export const PUBLISH_COMPARED = "p95 of these";

const STEPS = 10;
const WARM_UP = 20;
const PER_STEP = 30;
const TURNS = 4;
const PER_TURN = 50;
/** This size, for which the design has a number, and larger. */
const RATIO_FROM = 100_000;

/** `reference` has a channel of `REFERENCE_RECORDS`. Errors when the channel cannot be filled. */
export async function grow(site: Site, reference: MeasuredServer): Promise<readonly Row[]> {
  return await site.serve((server) => growBeside(site, server, reference));
}

async function growBeside(site: Site, server: RunningServer, reference: MeasuredServer): Promise<readonly Row[]> {
  const { records, seed, bar } = site;
  const own = (count: number): Promise<number[]> =>
    publishes({ ...server, token: site.token }, site.nextSeries(), count);
  const rows: Row[] = [];
  let seeding = 0;
  await attempt("warm-up", async () => (await own(WARM_UP)) && []);
  for (let step = 1; step <= STEPS; step += 1) {
    const started = performance.now();
    await seed
      .growTo(Math.round((records * step) / STEPS), (done) => bar.update(done, records, "records"))
      .finally(bar.stop);
    seeding += performance.now() - started;
    // Work that the disk has still to do must not count for the publishes.
    await output(["sync"], { timeoutMs: 600_000 });
    const what = `publish at ${(100 / STEPS) * step} %`;
    rows.push(...(await attempt(what, async () => [rowOf(what, await own(PER_STEP))])));
  }
  const compared = await attempt(PUBLISH_FULL, () => compare(site, own, reference));
  return [{ what: "seeding, each record", unit: "ms", samples: [seeding / records] }, ...rows, ...compared];
}

/** Alternately, so that a drift of the machine affects both. */
async function compare(
  { records, nextSeries }: Site,
  own: (count: number) => Promise<number[]>,
  reference: MeasuredServer,
): Promise<Row[]> {
  const [ours, theirs]: [number[], number[]] = [[], []];
  const series = `r${records}${nextSeries()}`;
  await publishes(reference, `${series}w`, WARM_UP);
  for (let turn = 0; turn < TURNS; turn += 1) {
    ours.push(...(await own(PER_TURN)));
    theirs.push(...(await publishes(reference, `${series}t${turn}`, PER_TURN)));
  }
  return [
    rowOf(PUBLISH_FULL, ours),
    {
      what: PUBLISH_COMPARED,
      unit: "ms",
      samples: [percentile(ours, 95)],
      peer: { name: `${REFERENCE_RECORDS} records`, samples: [percentile(theirs, 95)] },
      ...(records >= RATIO_FROM && { target: { of: "ratio", is: "at most", number: PUBLISH_RATIO } }),
    },
  ];
}

function rowOf(what: string, samples: readonly number[]): Row {
  return { what, unit: "ms", samples, percentile: 95 };
}

async function publishes({ url, token }: MeasuredServer, series: string, count: number): Promise<number[]> {
  const load: PublishAndReadLoad = { url, token, series, publishes: count, least: count, budgetMs: 0 };
  return (await askChild(import.meta.resolve("./publish-and-read.ts"), load, timesShape)).publish;
}
