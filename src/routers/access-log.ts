// The log line and the counts of a request, written when its response has been sent.

import type { Events, RequestSummary } from "../events.ts";
import type { Clock } from "../modules/clock.ts";

/** Why a request was refused, for the log. */
export type Refusal = { readonly why: string; readonly rules: readonly string[]; readonly bytes: number };

export type Answered = {
  readonly request: Request;
  readonly response: Response;
  readonly context: {
    readonly requestId: string;
    readonly address: string;
    /** Without the token, if the path held one. */
    readonly path: string;
    readonly pathToken: string | undefined;
  };
  readonly route: string;
  /** Monotonic ms. */
  readonly started: number;
  readonly user: string | undefined;
  readonly refusal?: Refusal | undefined;
  /** Whether the response can still be in transfer. */
  readonly isOpen: () => boolean;
};

export type AccessLog = {
  write(answered: Answered): void;
  /** Writes the lines of all transfers in progress. */
  close(): void;
};

/** A smaller response is taken by the system at once. */
const TRANSFER_BYTES = 1024 ** 2;
const CHECK_EVERY_MS = 200;
const MOST_RULES = 20;

export function createAccessLog(parts: { readonly events: Events; readonly clock: Clock }): AccessLog {
  const transfers = new Set<Transfer>();
  let timer: ReturnType<typeof setInterval> | undefined;

  const sinceStart = ({ started }: Answered): number => Math.round((parts.clock.elapsed() - started) * 10) / 10;

  function log({ answered, summary, bytes, readyMs, isAborted }: Transfer & { readonly isAborted: boolean }): void {
    const ms = sinceStart(answered);
    // Bun does not report how much of an aborted transfer was sent.
    const sent = isAborted ? { bytes: undefined, aborted: true } : { bytes };
    parts.events.requestAnswered({ ...summary, ...sent, ms }, readyMs);
  }

  function end(transfer: Transfer): void {
    transfers.delete(transfer);
    const { request, isOpen } = transfer.answered;
    log({ ...transfer, isAborted: request.signal.aborted || isOpen() });
    if (transfers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  function check(): void {
    for (const transfer of transfers) if (!transfer.answered.isOpen()) end(transfer);
  }

  return {
    write: (answered) => {
      // Read now: the headers of a response are empty once Bun has sent it.
      const readyMs = sinceStart(answered);
      const transfer = { answered, summary: summaryOf(answered), bytes: bytesOf(answered), readyMs };
      const isLong = transfer.bytes >= TRANSFER_BYTES;
      if (!isLong || !answered.isOpen()) {
        // A client can have left before its response was ready.
        log({ ...transfer, isAborted: isLong && answered.request.signal.aborted });
        return;
      }
      transfers.add(transfer);
      timer ??= setInterval(check, CHECK_EVERY_MS).unref();
    },
    close: () => transfers.forEach(end),
  };
}

type Summary = Omit<RequestSummary, "ms" | "bytes" | "aborted">;
type Transfer = {
  readonly answered: Answered;
  readonly summary: Summary;
  readonly bytes: number;
  readonly readyMs: number;
};

function bytesOf({ request, response, refusal }: Answered): number {
  if (request.method === "HEAD") return 0;
  return refusal?.bytes ?? Number(response.headers.get("content-length") ?? 0);
}

function summaryOf(answered: Answered): Summary {
  const { request, response, context, refusal } = answered;
  return {
    requestId: context.requestId,
    method: request.method,
    path: (context.pathToken === undefined ? context.path : `/t/…${context.path}`).slice(0, 500),
    status: response.status,
    address: context.address,
    agent: (request.headers.get("user-agent") ?? "").slice(0, 200),
    route: answered.route,
    user: answered.user,
    why: refusal?.why.slice(0, 500),
    rules: refusal && refusal.rules.length > 0 ? refusal.rules.slice(0, MOST_RULES).join(" ") : undefined,
  };
}
