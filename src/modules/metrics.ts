// Metrics for Prometheus: one registry per app, with the few metric types that events need.

import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from "prom-client";
import { z } from "zod";

export type Labels = Readonly<Record<string, string>>;
export type CounterMetric = { add(labels: Labels, amount?: number): void };
type Observed = number | undefined;
/** How the values of several processes become one: those that describe the machine or the database are not added. */
export type Across = "sum" | "min" | "max";
/** The metrics of one process, for another process. */
export const metricsSnapshot = z.array(z.looseObject({ name: z.string(), type: z.string() }));
export type MetricsSnapshot = z.infer<typeof metricsSnapshot>;
export type HistogramMetric = { observe(labels: Labels, value: number): void };

export type Metrics = {
  counter(name: string, help: string, labels: readonly string[]): CounterMetric;
  /** A value that goes up and down; negative amounts lower it. */
  gauge(name: string, help: string, labels: readonly string[]): CounterMetric;
  /** `buckets` are upper bounds, sorted; default: from a millisecond to 30 seconds. */
  histogram(name: string, help: string, labels: readonly string[], buckets?: readonly number[]): HistogramMetric;
  /** A gauge whose value is read when the metrics are rendered; it is omitted while the value is undefined. */
  observe(name: string, help: string, read: () => Observed | Promise<Observed>, across?: Across): void;
  /** A constant 1 with labels that describe the process. */
  info(name: string, help: string, labels: Labels): void;
  /** Returns all metrics in the text format of Prometheus. */
  render(): Promise<string>;
  readonly contentType: string;
  snapshot(): Promise<MetricsSnapshot>;
};

/** What answers `/metrics`: one process, or all of them. */
export type Rendering = Pick<Metrics, "render" | "contentType">;

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  return {
    counter: (name, help, labels) => {
      const counter = new Counter({ name, help, labelNames: [...labels], registers });
      // Cached, since finding the child of a set of labels costs more than counting.
      const children = new Map<string, Counter.Internal>();
      const childOf = (values: Labels): Counter.Internal => {
        const key = JSON.stringify(values);
        const known = children.get(key);
        if (known) return known;
        const child = counter.labels({ ...values });
        children.set(key, child);
        return child;
      };
      return { add: (values, amount = 1) => childOf(values).inc(amount) };
    },
    gauge: (name, help, labels) => {
      const gauge = new Gauge({ name, help, labelNames: [...labels], registers });
      return { add: (values, amount = 1) => gauge.inc({ ...values }, amount) };
    },
    histogram: (name, help, labels, buckets = SECONDS) => {
      const histogram = new Histogram({ name, help, labelNames: [...labels], buckets: [...buckets], registers });
      return { observe: (values, value) => histogram.observe({ ...values }, value) };
    },
    observe: (name, help, read, across = "sum") => {
      const collect = async (): Promise<void> => {
        const value = await read();
        if (value === undefined) gauge.remove();
        else gauge.set(value);
      };
      const gauge: Gauge = new Gauge({ name, help, registers, collect, aggregator: across });
    },
    info: (name, help, labels) => {
      new Gauge({ name, help, labelNames: Object.keys(labels), registers, aggregator: "first" }).set({ ...labels }, 1);
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
    snapshot: () => snapshotOf(registry),
  };
}

/** Joins the metrics of several processes. */
export function joinSnapshots(snapshots: readonly MetricsSnapshot[]): Pick<Metrics, "render" | "snapshot"> {
  const registry = AggregatorRegistry.aggregate([...snapshots]);
  return { render: () => registry.metrics(), snapshot: () => snapshotOf(registry) };
}

async function snapshotOf(registry: Pick<Registry, "getMetricsAsJSON">): Promise<MetricsSnapshot> {
  return metricsSnapshot.parse(await registry.getMetricsAsJSON());
}

/** What a process that has ended leaves behind: its counts. Without them, sums of counters would fall. */
export function countsOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ type }) => type === "counter" || type === "histogram");
}
