// How far a long command has come: a bar on a terminal, and nothing where nobody watches.

import { SingleBar } from "cli-progress";

export type ProgressBar = {
  /** Begins anew when it counts something else than before. */
  update(done: number, total: number, what: string): void;
  /** Makes way for a line of output; the next update shows the bar again. */
  stop(): void;
};

export function createProgressBar(): ProgressBar {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const format = "{bar} {value}/{total} {what}, {eta_formatted} left";
  let shown: { readonly bar: SingleBar; readonly what: string } | undefined;
  const stop = (): void => {
    shown?.bar.stop();
    shown = undefined;
  };
  return {
    stop,
    update: (done, total, what) => {
      if (shown?.what !== what) {
        stop();
        const bar = new SingleBar({ stream: process.stderr, clearOnComplete: true, format });
        bar.start(total, done, { what });
        shown = { bar, what };
      }
      shown.bar.update(done);
    },
  };
}
