// The troubles of the server: when each begins and ends, and those with which it is not ready.

import type { ServerPart } from "../errors.ts";
import type { Events, TroubleKind } from "../events.ts";
import type { Clock } from "../modules/clock.ts";

/** A part that keeps the server from being ready, with a sentence that anybody can read: it names no path. */
export type NotReady = { readonly part: NotReadyPart; readonly detail: string };
type NotReadyPart = "folder" | ServerPart;

/** The troubles with which the server is not ready, and the part that is named to everybody. */
const NOT_READY = [
  ["folder", "folder"],
  ["database", "database"],
  ["database-server", "database"],
  ["storage", "storage"],
  ["disk", "disk"],
] as const satisfies readonly (readonly [TroubleKind, NotReadyPart])[];

export type Troubles = {
  /** Reports when a trouble begins and when it ends; `reason` is undefined when there is no trouble. */
  set(kind: TroubleKind, reason: string | undefined, detail: string): void;
  has(...kinds: readonly TroubleKind[]): boolean;
  /** The troubles that keep the server from being ready. */
  notReady(): NotReady[];
  /** Stops reporting: after shutdown the folder may belong to another server. */
  close(): void;
};

/** For the log and the metrics. */
export function createTroubles({ events, clock }: { readonly events: Events; readonly clock: Clock }): Troubles {
  const known = new Map<TroubleKind, string>();
  const since = new Map<TroubleKind, number>();
  let closed = false;
  return {
    set: (kind, reason, detail) => {
      if (reason !== undefined && known.has(kind)) known.set(kind, detail);
      if (closed || known.has(kind) === (reason !== undefined)) return;
      if (reason === undefined) {
        known.delete(kind);
        events.troubleEnded(kind, Math.round((clock.elapsed() - (since.get(kind) ?? 0)) / 1000));
      } else {
        known.set(kind, detail);
        since.set(kind, clock.elapsed());
        events.troubleBegan(kind, reason);
      }
    },
    notReady: () =>
      NOT_READY.flatMap(([kind, part]) => {
        const detail = known.get(kind);
        return detail === undefined ? [] : [{ part, detail }];
      }),
    has: (...kinds) => kinds.some((kind) => known.has(kind)),
    close: () => (closed = true),
  };
}

/** The message of the innermost error, which the public text hides. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? messageOf(error.cause) : error.message;
}
