// Progress of a long command: a bar on a terminal, no output elsewhere.

import { SingleBar } from "cli-progress";

export type ProgressBar = {
  /** Starts a new bar when `what` changes. */
  update(done: number, total: number, what: string): void;
  /** Hides the bar for a line of output; the next update shows it again. */
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
