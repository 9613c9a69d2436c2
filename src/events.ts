// One function per business event: it writes the log line and counts, so that the two never disagree.

import type { Logger } from "./modules/log.ts";
import type { Metrics } from "./modules/metrics.ts";

export type RequestSummary = {
  readonly requestId: string;
  readonly method: string;
  /** The pattern of the route, never the path: labels must stay few. */
  readonly route: string;
  /** The path with the token taken out. */
  readonly path: string;
  readonly status: number;
  readonly ms: number;
  readonly bytes: number;
  readonly address: string;
  readonly user: string | undefined;
  readonly agent: string;
};

export type PublishSummary = {
  readonly channel: string;
  readonly file: string;
  readonly result: "created" | "checked" | "conflict" | "refused";
  readonly rules: readonly string[];
};

/** Where the server is hindered: its folder is another, its database damaged, its disk refuses, or is nearly full. */
export type TroubleKind = "folder" | "database" | "disk" | "space";

export type CollectionSummary = {
  readonly files: number;
  readonly bytes: number;
  /** What had to be left for the next time. */
  readonly left: readonly string[];
};

export type Events = {
  requestAnswered(summary: RequestSummary): void;
  /** An answer was given once more from memory. */
  responseReplayed(): void;
  publishEnded(summary: PublishSummary): void;
  fileDeleted(channel: string, file: string): void;
  documentBuilt(summary: { channel: string; document: string; seconds: number; bytes: number }): void;
  /** A document was made into gzip. */
  documentPacked(): void;
  /** How many records no document can hold; each is a fault of this server or of its disk. */
  recordsSkipped(records: number): void;
  /** Derived data could not be used, and were begun anew. */
  derivedRepaired(why: string): void;
  loginFailed(attempt: { account: string; address: string }): void;
  transferStarted(): void;
  transferEnded(bytes: number): void;
  troubleBegan(kind: TroubleKind, reason: string): void;
  troubleEnded(kind: TroubleKind): void;
  /** Bytes that are free. */
  diskMeasured(free: number): void;
  spaceCollected(summary: CollectionSummary): void;
  internalError(error: unknown, where: string): void;
};

const TROUBLES: Readonly<Record<TroubleKind, readonly [begins: string, ends: string]>> = {
  folder: ["nothing is served or stored until it is back, or the server is restarted", "the data folder is back"],
  database: ["stop the server, and restore the database from a backup", "the database is sound"],
  disk: ["nothing can be stored, and the server is not ready until it can", "the data folder can be written again"],
  space: ["uploads are refused until there is room", "there is room for uploads again"],
};

export function createEvents(parts: { readonly log: Logger; readonly metrics: Metrics }): Events {
  const { log, metrics } = parts;
  const requests = metrics.counter("condarium_requests_total", "Requests answered", ["route", "method", "status"]);
  const repeated = metrics.counter("condarium_answers_repeated_total", "Answers given once more from memory", []);
  const bytesOut = metrics.counter("condarium_bytes_out_total", "Bytes of response bodies", []);
  const bytesIn = metrics.counter("condarium_bytes_in_total", "Bytes of uploads received", []);
  const publishes = metrics.counter("condarium_publishes_total", "Publishes by result", ["result"]);
  const deletes = metrics.counter("condarium_deletes_total", "Files deleted", []);
  const built = metrics.counter("condarium_documents_built_total", "Documents built", ["document"]);
  const buildSeconds = metrics.histogram("condarium_document_build_seconds", "Seconds to build a document", [
    "document",
  ]);
  const packed = metrics.counter("condarium_documents_packed_total", "Documents made into gzip", []);
  let skipped = 0;
  metrics.observe("condarium_records_set_aside", "Records that documents leave out as unreadable", () => skipped);
  const failedLogins = metrics.counter("condarium_failed_logins_total", "Logins with a wrong name or password", []);
  const transfers = metrics.gauge("condarium_open_uploads", "Uploads being received", []);
  const collected = metrics.counter("condarium_gc_bytes_total", "Bytes of files that were collected", []);
  const errors = metrics.counter("condarium_internal_errors_total", "Errors nobody expected", ["where"]);
  return {
    ...troubleEvents({ log, metrics }),
    requestAnswered: (summary) => {
      requests.add({ route: summary.route, method: summary.method, status: String(summary.status) });
      bytesOut.add({}, summary.bytes);
      log.request({ event: "request", ...summary }, `${summary.method} ${summary.path} ${summary.status}`);
    },
    responseReplayed: () => repeated.add({}),
    publishEnded: (summary) => {
      publishes.add({ result: summary.result });
      log.info({ event: "publish", ...summary }, `publish of ${summary.file} to ${summary.channel}: ${summary.result}`);
    },
    fileDeleted: (channel, file) => {
      deletes.add({});
      log.info({ event: "delete", channel, file }, `deleted ${file} from ${channel}`);
    },
    documentBuilt: ({ channel, document, seconds, bytes }) => {
      built.add({ document });
      buildSeconds.observe({ document }, seconds);
      log.debug({ event: "document", channel, document, seconds, bytes }, `built ${document} of ${channel}`);
    },
    documentPacked: () => packed.add({}),
    recordsSkipped: (records) => {
      if (records > skipped)
        log.error(
          { event: "set-aside", records },
          "records cannot be read and are left out of documents: see condarium verify",
        );
      skipped = records;
    },
    derivedRepaired: (why) => log.warn({ event: "derived-mended" }, why),
    loginFailed: ({ account, address }) => {
      failedLogins.add({});
      log.warn({ event: "login-failed", account: account.slice(0, 64), address }, "a login failed");
    },
    transferStarted: () => transfers.add({}, 1),
    transferEnded: (bytes) => {
      transfers.add({}, -1);
      bytesIn.add({}, bytes);
    },
    spaceCollected: (summary) => {
      collected.add({}, summary.bytes);
      log.info({ event: "gc", ...summary }, `collected ${summary.files} files of ${summary.bytes} bytes`);
    },
    internalError: (error, where) => {
      errors.add({ where });
      log.error({ event: "internal-error", where, err: error }, `unexpected error in ${where}`);
    },
  };
}

function troubleEvents({
  log,
  metrics,
}: {
  readonly log: Logger;
  readonly metrics: Metrics;
}): Pick<Events, "troubleBegan" | "troubleEnded" | "diskMeasured"> {
  const troubles = new Set<TroubleKind>();
  let free = 0;
  const isWritable = (): number => (troubles.has("folder") || troubles.has("disk") ? 0 : 1);
  metrics.observe("condarium_writable", "Whether changes can be stored: 1, or 0", isWritable);
  metrics.observe("condarium_free_bytes", "Bytes that are free on the disk of the data folder", () => free);
  return {
    troubleBegan: (kind, reason) => {
      troubles.add(kind);
      const line = { event: "trouble", kind, reason };
      const text = `${reason}: ${TROUBLES[kind][0]}`;
      if (kind === "space") log.warn(line, text);
      else log.error(line, text);
    },
    troubleEnded: (kind) => {
      troubles.delete(kind);
      log.info({ event: "trouble-ended", kind }, TROUBLES[kind][1]);
    },
    diskMeasured: (bytes) => (free = bytes),
  };
}
