// Full builds of every document: time, size, memory, and the ratio to the smallest possible size.

import { MB } from "../bench.ts";
import type { Row } from "../report.ts";
import type { RunningServer } from "../server.ts";
import { askChild } from "./child.ts";
import { callOnce, callPatiently, repeatsText, expectStatus } from "./client.ts";
import { DOCUMENTS, type GrowthDocument, REPODATA, REPODATA_ZST, whyAbsent } from "./documents.ts";
import { attempt, missingRow } from "./rows.ts";
import type { Site } from "./site.ts";
import { wholeFileShape } from "./whole-file.ts";

export const ZST_SIZE = `size of ${REPODATA_ZST.name}`;

export const ZST_COMPARED = `${ZST_SIZE}, beside all of it at once`;
export const PEAK_OF_BUILD = "peak memory for ";
export const SIZE_RATIO = 1.07;
/** In smaller channels the few boundaries say little. */
const SIZE_FROM = 100_000;

/** One after the other: the documents of one family share their derived data. */
export async function fromNothing(site: Site): Promise<readonly Row[]> {
  await site.removeIndex();
  return await site.serve(async (server) => {
    const rows: Row[] = [];
    for (const document of DOCUMENTS) rows.push(...(await attempt(document.name, () => firstRead(server, document))));
    rows.push(...(await attempt(ZST_COMPARED, () => besideWhole(site, server))));
    return rows;
  });
}

async function firstRead(server: RunningServer, document: GrowthDocument): Promise<Row[]> {
  const { name, path } = document;
  const isForgotten = await server.forgetPeak();
  const answer = await callPatiently(server.url, { path });
  const absent = whyAbsent(document, answer);
  if (absent !== undefined) return [missingRow(name, `not offered: ${absent}`)];
  expectStatus(answer, 200, path);
  const peak = isForgotten ? await server.peakMemory() : undefined;
  return [
    { what: `${name}${repeatsText(answer.repeats)}`, unit: "s", samples: [answer.endMs / 1000] },
    { what: `size of ${name}`, unit: "MB", samples: [answer.bytes / MB] },
    ...(peak === undefined ? [] : [{ what: `${PEAK_OF_BUILD}${name}`, unit: "MB", samples: [peak / MB] }]),
  ];
}

async function besideWhole({ records }: Site, { url }: RunningServer): Promise<Row[]> {
  const spliced = await callOnce(url, { path: REPODATA_ZST.path });
  expectStatus(spliced, 200, REPODATA_ZST.path);
  const load = { url: `${url}${REPODATA.path}` };
  const whole = await askChild(import.meta.resolve("./whole-file.ts"), load, wholeFileShape);
  return [
    {
      what: ZST_COMPARED,
      unit: "MB",
      samples: [spliced.bytes / MB],
      peer: { name: `at level ${whole.level}`, samples: [whole.packed / MB] },
      ...(records >= SIZE_FROM && { target: { of: "ratio", is: "at most", number: SIZE_RATIO } }),
    },
    { what: `all of it at once, level ${whole.level}`, unit: "s", samples: [whole.seconds] },
  ];
}
