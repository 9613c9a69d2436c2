// One function per business event: it writes the log line and updates the metrics, so that the two always agree.

import type { Logger } from "./modules/log.ts";
import type { Metrics } from "./modules/metrics.ts";

export type RequestSummary = {
  readonly requestId: string;
  readonly method: string;
  /** Pattern of the route, never the path: a metric must have few label values. */
  readonly route: string;
  /** Path without the token. */
  readonly path: string;
  readonly status: number;
  readonly ms: number;
  /** Undefined for an aborted transfer: nothing reports how much of it was sent. */
  readonly bytes: number | undefined;
  readonly aborted?: boolean | undefined;
  readonly address: string;
  readonly user: string | undefined;
  readonly agent: string;
  /** Why the request was refused, and the rules that its package breaks, separated by spaces. */
  readonly why?: string | undefined;
  readonly rules?: string | undefined;
};

export type PublishSummary = {
  readonly requestId: string;
  readonly channel: string;
  readonly file: string;
  readonly result: "created" | "checked" | "skipped" | "conflict" | "refused";
  readonly rules: readonly string[];
};

/**
 * A replaced data folder, a damaged database, a database server or a storage elsewhere that does not answer, a disk that
 * refuses writes, or a disk that is nearly full.
 */
export type TroubleKind = "folder" | "database" | "database-server" | "storage" | "disk" | "space";

export type CollectionSummary = {
  readonly files: number;
  readonly bytes: number;
  /** What was skipped until the next collection, and why. */
  readonly left: readonly string[];
};

export type Events = {
  /** `readyMs`: until the response was ready, without its transfer. */
  requestAnswered(summary: RequestSummary, readyMs: number): void;
  /** A stored response was replayed from memory. */
  responseReplayed(): void;
  publishEnded(summary: PublishSummary): void;
  fileDeleted(summary: { channel: string; file: string; requestId: string | undefined }): void;
  documentBuilt(summary: { channel: string; document: string; seconds: number; bytes: number }): void;
  /** A document was compressed with gzip. */
  documentPacked(): void;
  /** Number of unreadable records, which documents omit; each is a fault of this server or of its disk. */
  recordsSkipped(records: number): void;
  /** Derived data was unusable and was rebuilt. */
  derivedRepaired(why: string): void;
  /** `account` is undefined when no account has the name: the text can be a mistyped password. */
  loginFailed(attempt: { account: string | undefined; address: string; requestId: string }): void;
  /** `X-Forwarded-For` arrived from an address that is not trusted. */
  proxyNotTrusted(address: string): void;
  transferStarted(): void;
  transferEnded(bytes: number): void;
  troubleBegan(kind: TroubleKind, reason: string): void;
  /** `seconds`: since it began. */
  troubleEnded(kind: TroubleKind, seconds: number): void;
  /** Free bytes. */
  diskMeasured(free: number): void;
  spaceCollected(summary: CollectionSummary): void;
  /** Refusals that the audit trail does not count, because the database did not take them in time. */
  refusalsLost(refusals: number): void;
  internalError(error: unknown, where: string, requestId?: string): void;
};

const TROUBLES: Readonly<Record<TroubleKind, readonly [begins: string, ends: string]>> = {
  folder: ["nothing is served or stored until the folder is back or the server restarts", "the data folder is back"],
  database: ["stop the server and restore the database from a backup", "the database is intact"],
  "database-server": [
    "the server is not ready until the database answers and stores changes",
    "the database answers and stores changes again",
  ],
  storage: ["the server is not ready until its storage answers", "the storage of the packages answers again"],
  disk: ["nothing can be stored; the server is not ready until writes succeed", "the data folder is writable again"],
  space: ["uploads are refused until there is enough free space", "there is enough free space for uploads again"],
};

/** Troubles while which no change can be stored. */
const UNWRITABLE: readonly TroubleKind[] = ["folder", "database-server", "storage", "disk"];

/** Methods with a label value of their own: a client can send any name as a method. */
const METHODS = new Set(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]);
/** Few, because each route has all of them: from a replayed document to an upload of minutes. */
const REQUEST_SECONDS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];

export function createEvents(parts: EventParts): Events {
  const { log, metrics } = parts;
  const bytesIn = metrics.counter("condarium_bytes_in_total", "Bytes of uploads received", []);
  const publishes = metrics.counter("condarium_publishes_total", "Publishes by result", ["result"]);
  const deletes = metrics.counter("condarium_deletes_total", "Files deleted", []);
  const built = metrics.counter("condarium_documents_built_total", "Documents built", ["document"]);
  const buildSeconds = metrics.histogram("condarium_document_build_seconds", "Seconds to build a document", [
    "document",
  ]);
  const packed = metrics.counter("condarium_documents_packed_total", "Documents compressed with gzip", []);
  let skipped = 0;
  metrics.observe("condarium_records_set_aside", "Unreadable records that documents omit", () => skipped, "max");
  const transfers = metrics.gauge("condarium_open_uploads", "Uploads being received", []);
  const collected = metrics.counter("condarium_gc_bytes_total", "Bytes of files deleted by garbage collection", []);
  const errors = metrics.counter("condarium_internal_errors_total", "Unexpected errors", ["where"]);
  return {
    ...requestEvents({ log, metrics }),
    ...troubleEvents({ log, metrics }),
    ...loginEvents({ log, metrics }),
    publishEnded: (summary) => {
      publishes.add({ result: summary.result });
      log.direct(
        { event: "publish", ...summary },
        `publish of ${summary.file} to ${summary.channel}: ${summary.result}`,
      );
    },
    fileDeleted: ({ channel, file, requestId }) => {
      deletes.add({});
      log.info({ event: "delete", channel, file, requestId }, `deleted ${file} from ${channel}`);
    },
    documentBuilt: ({ channel, document, seconds, bytes }) => {
      built.add({ document });
      buildSeconds.observe({ document }, seconds);
      log.debug({ event: "document", channel, document, seconds, bytes }, `built ${document} of ${channel}`);
    },
    documentPacked: () => packed.add({}),
    recordsSkipped: (records) => {
      if (records > skipped)
        log.error({ event: "set-aside", records }, "documents omit unreadable records: run condarium verify");
      skipped = records;
    },
    derivedRepaired: (why) => log.warn({ event: "derived-mended" }, why),
    transferStarted: () => transfers.add({}, 1),
    transferEnded: (bytes) => {
      transfers.add({}, -1);
      bytesIn.add({}, bytes);
    },
    spaceCollected: (summary) => {
      collected.add({}, summary.bytes);
      log.info({ event: "gc", ...summary }, `deleted ${summary.files} files, ${summary.bytes} bytes in total`);
    },
    refusalsLost: (refusals) =>
      log.warn({ event: "refusals-lost", refusals }, "the audit trail does not count some refusals"),
    internalError: (error, where, requestId) => {
      errors.add({ where });
      log.error({ event: "internal-error", where, requestId, err: error }, `unexpected error in ${where}`);
    },
  };
}

type EventParts = { readonly log: Logger; readonly metrics: Metrics };

function loginEvents({ log, metrics }: EventParts): Pick<Events, "loginFailed" | "proxyNotTrusted"> {
  const failedLogins = metrics.counter(
    "condarium_failed_logins_total",
    "Logins with a wrong name, password or two-factor code, or without that",
    [],
  );
  return {
    loginFailed: ({ account, ...sender }) => {
      failedLogins.add({});
      log.warn({ event: "login-failed", account: account ?? "(no such account)", ...sender }, "a login failed");
    },
    proxyNotTrusted: (address) =>
      log.warn(
        { event: "proxy-not-trusted", address },
        `X-Forwarded-For arrived from ${address}, which is not in trusted-proxies, and is ignored. If a proxy of yours ` +
          "has this address, add it to trusted-proxies: until then, all clients behind it count as one, and failed " +
          "logins of one of them block all of them",
      ),
  };
}

function requestEvents({ log, metrics }: EventParts): Pick<Events, "requestAnswered" | "responseReplayed"> {
  const requests = metrics.counter("condarium_requests_total", "Requests answered", ["route", "method", "status"]);
  const durations = metrics.histogram(
    "condarium_request_duration_seconds",
    "Seconds from a request to its response, without the transfer of the response's body",
    ["route"],
    REQUEST_SECONDS,
  );
  const repeated = metrics.counter("condarium_answers_repeated_total", "Responses replayed from memory", []);
  const bytesOut = metrics.counter("condarium_bytes_out_total", "Bytes of response bodies", []);
  return {
    requestAnswered: (summary, readyMs) => {
      const { route, method, status } = summary;
      requests.add({ route, method: METHODS.has(method) ? method : "other", status: String(status) });
      durations.observe({ route }, readyMs / 1000);
      bytesOut.add({}, summary.bytes ?? 0);
      log.direct({ event: "request", ...summary }, `${summary.method} ${summary.path} ${summary.status}`);
    },
    responseReplayed: () => repeated.add({}),
  };
}

function troubleEvents({ log, metrics }: EventParts): Pick<Events, "troubleBegan" | "troubleEnded" | "diskMeasured"> {
  const troubles = new Set<TroubleKind>();
  // Undefined until the first check: 0 would look like a full disk.
  let free: number | undefined;
  const isWritable = (): number => (UNWRITABLE.some((kind) => troubles.has(kind)) ? 0 : 1);
  metrics.observe("condarium_writable", "1 if changes can be stored, else 0", isWritable, "min");
  metrics.observe("condarium_free_bytes", "Free bytes on the disk of the data folder", () => free, "min");
  return {
    troubleBegan: (kind, reason) => {
      troubles.add(kind);
      const line = { event: "trouble", kind, reason };
      const text = `${reason}: ${TROUBLES[kind][0]}`;
      if (kind === "space") log.warn(line, text);
      else log.error(line, text);
    },
    troubleEnded: (kind, seconds) => {
      troubles.delete(kind);
      log.info({ event: "trouble-ended", kind, seconds }, `${TROUBLES[kind][1]}, after ${seconds} s`);
    },
    diskMeasured: (bytes) => (free = bytes),
  };
}
