// The metrics of all processes of a server as one.

import { countsOf, joinSnapshots, metricsSnapshot, type Metrics, type MetricsSnapshot } from "../modules/metrics.ts";

export type Totals = {
  /** In the text format of Prometheus. A process that does not answer in time counts with its previous values. */
  render(): Promise<string>;
  /** Keeps the counts of a process that has ended, as far as they are known. */
  keep(slot: number): Promise<void>;
};

export type TotalsParts = {
  /** Those of the parent process. */
  readonly own: Metrics;
  /** Asks every process; undefined for one that did not answer in time. */
  readonly ask: () => Promise<ReadonlyMap<number, unknown>>;
};

export function createTotals({ own, ask }: TotalsParts): Totals {
  const known = new Map<number, MetricsSnapshot>();
  let ended: MetricsSnapshot = [];
  return {
    render: async () => {
      for (const [slot, answer] of await ask()) {
        const snapshot = metricsSnapshot.safeParse(answer);
        if (snapshot.success) known.set(slot, snapshot.data);
      }
      return await joinSnapshots([await own.snapshot(), ended, ...known.values()]).render();
    },
    keep: async (slot) => {
      const last = known.get(slot);
      if (!last) return;
      known.delete(slot);
      ended = await joinSnapshots([ended, countsOf(last)]).snapshot();
    },
  };
}
