// Log lines: JSON on standard error, without secrets, never blocking and never fatal.
// Hand-written sink: pino's own, sonic-boom, writes synchronously at exit, which hangs when the log's reader is stuck.

import { write as writeSome, writeSync } from "node:fs";
import pino from "pino";

export type Logger = Pick<pino.Logger, "debug" | "info" | "warn" | "error" | "fatal"> & {
  /** Logs a frequent line whose members are few and known, so they skip the redaction by name. */
  direct(members: DirectMembers, text: string): void;
};
type DirectMembers = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export type LoggerOptions = {
  readonly level: LogLevel;
  /** Receives the lines instead of standard error. */
  readonly write?: (line: string) => void;
  /** The number of this process, for the log that several processes write; it is in each line. */
  readonly process?: number;
};

const SECRETS = ["authorization", "cookie", "password", "secret", "token", '["x-api-key"]', '["set-cookie"]'];
const REDACTED = SECRETS.flatMap((name) => [name, name.startsWith("[") ? `*${name}` : `*.${name}`]);
// Matches tokens anywhere, as in a path or in another program's error, with any of their characters percent-encoded,
// also repeatedly; the redacted text still shows their kind.
const PERCENT = "%(?:25)*";
const TOKEN_START = ["c63", "d64", "r72", "-2[dD]"].map((text) => `(?:${text[0]}|${PERCENT}${text.slice(1)})`).join("");
const TOKEN_REST = `(?:[0-9A-Za-z]|${PERCENT}(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])){8,}`;
const TOKEN = new RegExp(TOKEN_START + TOKEN_REST, "g");
// JSON leaves these unescaped: DEL and C1 controls, line separators, and invisible characters such as those that
// change the direction of a text.
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu;
const MAX_TEXT = 8 * 1024;
const BACKLOG_BYTES = 1024 * 1024;
const STUCK_MS = 1000;

export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? createSink(2);
  const sink = {
    write: (line: string) => write(withoutTokens(line).replace(UNPRINTABLE, jsonEscape)),
  };
  const log = pino(
    {
      level: options.level,
      base: options.process === undefined ? null : { process: options.process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: "[redacted]" },
      serializers: { err: describeError },
    },
    sink,
  );
  return Object.assign(log, {
    direct: (members: DirectMembers, msg: string) => {
      if (!log.isLevelEnabled("info")) return;
      const line = JSON.stringify({ process: options.process, ...members, msg });
      sink.write(`{"level":"info"${pino.stdTimeFunctions.isoTime()},${line.slice(1)}\n`);
    },
  });
}

/** The text with each token in it replaced. */
export function withoutTokens(text: string): string {
  return text.replace(TOKEN, "cdr-[redacted]");
}

function jsonEscape(text: string): string {
  // An array of the UTF-16 code units: JSON has no longer escapes.
  return Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join(
    "",
  );
}

/** Name, code, message, stack and causes of an error; not its other members, which can hold anything. */
function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return shorten(String(error));
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return {
    type: error.name,
    code,
    message: shorten(error.message),
    stack: shorten(error.stack ?? ""),
    cause: error.cause === undefined || depth > 4 ? undefined : describeError(error.cause, depth + 1),
  };
}

/** Removes the query values that the database layer appends to its messages, among them hashes of secrets. */
function shorten(text: string): string {
  return text.replace(/\nparams: .*/g, "\nparams: [redacted]").slice(0, MAX_TEXT);
}

/** Writes to a file descriptor in the background; drops and counts the lines that a stuck or full one cannot take. */
function createSink(descriptor: number): (line: string) => void {
  let backlog: string[] = [];
  let bytes = 0;
  let dropped = 0;
  let isWriting = false;
  let isStuck = false;

  function take(): Buffer {
    const lost = dropped > 0 ? `{"level":"warn","msg":"${dropped} log lines were dropped"}\n` : "";
    const text = Buffer.from(lost + backlog.join(""));
    backlog = [];
    bytes = 0;
    dropped = 0;
    return text;
  }

  function send(text: Buffer): void {
    isWriting = true;
    const timer = setTimeout(() => (isStuck = true), STUCK_MS).unref();
    writeSome(descriptor, text, (error, written) => {
      clearTimeout(timer);
      isStuck = false;
      isWriting = false;
      if (!error && written < text.byteLength) send(text.subarray(written));
      else sendBacklog();
    });
  }

  function sendBacklog(): void {
    if (!isWriting && backlog.length > 0) send(take());
  }

  process.on("exit", () => {
    if (backlog.length === 0 || isStuck) return;
    try {
      writeSync(descriptor, take());
    } catch {
      // The reader of the log is gone.
    }
  });

  return (line) => {
    if (bytes + line.length > BACKLOG_BYTES) {
      dropped += 1;
      return;
    }
    backlog.push(line);
    bytes += line.length;
    // Lines of one turn of the event loop are written together.
    if (!isWriting && backlog.length === 1) setImmediate(sendBacklog);
  };
}
