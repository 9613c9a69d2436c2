// The chart of this measurement: the cost of a channel's size, beside its limit.

import { type Finding, medianOf } from "../report.ts";
import { drawChart, type Point, type Series } from "./chart.ts";
import { type GrowthDocument, mostVisible, REPODATA_ZST, SHARDS } from "./documents.ts";
import { PUBLISH_COMPARED, PUBLISH_FULL, PUBLISH_RATIO } from "./grow.ts";
import { MOST_MEMORY, PEAK } from "./memory.ts";
import { PEAK_OF_BUILD, SIZE_RATIO, ZST_COMPARED, ZST_SIZE } from "./nothing.ts";
import { type Topic, TOPICS } from "./rows.ts";
import { visibleRow } from "./visible.ts";

const BLUE = "#0072b2";
const ORANGE = "#d55e00";

export function growthChart(findings: readonly Finding[], about: string): string {
  const of = (topic: Topic, fits: (what: string) => boolean): Finding[] =>
    findings.filter((each) => each.topic === TOPICS[topic] && fits(each.what) && each.missing === undefined);
  const named = (topic: Topic, name: string): Finding[] => of(topic, (what) => what === name);
  const compared = named("publish", PUBLISH_COMPARED);
  const served = largest(of("memory", (what) => what.endsWith(PEAK)));
  const built = largest(of("nothing", (what) => what.startsWith(PEAK_OF_BUILD)));
  const visible = (document: GrowthDocument, label: string, color: string): Series[] => {
    const points = valuesOf(named("visible", visibleRow(document)));
    return [
      { label, color, points },
      { ...limitOf(points, (records) => mostVisible(document, records)), color },
    ];
  };
  return drawChart({
    title: "condarium by size of the channel",
    about,
    axis: "records in the channel",
    panels: [
      {
        title: "Publish, 95 of 100 take less",
        unit: "ms",
        series: [
          { label: "this channel", color: BLUE, points: valuesOf(named("publish", PUBLISH_FULL)) },
          { label: "100 records, by turns", color: ORANGE, points: peersOf(compared) },
          {
            label: `target, ${PUBLISH_RATIO} × that`,
            color: ORANGE,
            points: peersOf(compared, PUBLISH_RATIO),
            target: "line",
          },
        ],
      },
      {
        title: "From a publish to its first read, 95 of 100 take less",
        unit: "ms",
        series: [
          ...visible(SHARDS, "shard index and shard", BLUE),
          ...visible(REPODATA_ZST, REPODATA_ZST.name, ORANGE),
        ],
      },
      {
        title: "Size of repodata.json.zst",
        unit: "MB",
        isLog: true,
        series: [
          { label: "as served", color: BLUE, points: valuesOf(named("nothing", ZST_SIZE)) },
          {
            label: `target, ${SIZE_RATIO} × all at level 19`,
            color: ORANGE,
            points: peersOf(named("nothing", ZST_COMPARED), SIZE_RATIO),
            target: "line",
          },
        ],
      },
      {
        title: "Most memory of the server, any document",
        unit: "MB",
        series: [
          { label: "read by 50 clients at once", color: BLUE, points: served },
          { ...limitOf(served, () => MOST_MEMORY), color: BLUE },
          { label: "made from nothing", color: ORANGE, points: built },
        ],
      },
    ],
  });
}

function limitOf(points: readonly Point[], most: (records: number) => number | undefined): Omit<Series, "color"> {
  const limits = points.flatMap(([records]): Point[] => {
    const limit = most(records);
    return limit === undefined ? [] : [[records, limit]];
  });
  return { label: "target for that", points: limits, target: "steps" };
}

function valuesOf(findings: readonly Finding[]): Point[] {
  return findings.map(({ records = 0, value }) => [records, value]);
}

function peersOf(findings: readonly Finding[], factor = 1): Point[] {
  return findings.map(({ records = 0, peer }) => [records, factor * medianOf(peer?.samples ?? [])]);
}

/** The largest value of each size. */
function largest(findings: readonly Finding[]): Point[] {
  const bySize = Map.groupBy(findings, ({ records = 0 }) => records);
  return [...bySize].map(([records, each]) => [records, Math.max(...each.map(({ value }) => value))]);
}
