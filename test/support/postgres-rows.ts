// The tables of a PostgreSQL database, as rows.ts gives those of SQLite. By hand: every driver is asynchronous, so a thread
// has the connection, and this one waits for its answers.

import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from "node:worker_threads";
import type { Answer, Question } from "./postgres-rows-worker.ts";
import type { AuditRow, Row, Tables, Value } from "./rows.ts";

/** Longer than the connection waits for a lock. */
const ANSWER_MS = 20_000;

/** `explain` gives the plan of a query, line by line. */
export function openPostgresTables(url: string): Tables & { explain(sql: string): string[] } {
  const { ask, close } = openConnection(url);
  // As JSON, because the driver gives a bigint as text, like text.
  const json = (sql: string, ...values: Value[]): unknown[] =>
    ask(`WITH found AS (${numbered(sql)}) SELECT row_to_json(found)::text AS row FROM found`, values).map((row) =>
      JSON.parse(String(row["row"])),
    );
  const all = (sql: string, ...values: Value[]): Row[] => json(sql, ...values).map((row) => withNumbers(row as object));
  const run = (sql: string, ...values: Value[]): void => void ask(numbered(sql), values);
  const names = all("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").map(({ name }) =>
    String(name),
  );
  // That something was committed is no change of what is stored.
  const stored = names.filter((name) => name !== "commit_count");
  // A refused publish deletes the file that it has stored, and notes that.
  const dump = stored
    .filter((name) => name !== "blob_deletion")
    .map(dumpOf)
    .join(" UNION ALL ");
  return {
    all,
    run,
    lock: async () => {
      // Rows can be read in this mode, but neither written nor locked. A transaction of this process's server ends only
      // while this thread does not wait for it.
      const tables = names.map((name) => `"${name}"`).join();
      while (!succeeds(() => run(`BEGIN; LOCK TABLE ${tables} IN EXCLUSIVE MODE NOWAIT`))) {
        run("ROLLBACK");
        await Bun.sleep(5);
      }
    },
    unlock: () => run("COMMIT"),
    shiftIds: () => {
      run("INSERT INTO owner (kind, name, visibility, created) VALUES ('organization', 'nobodys', 'public', 0)");
      all("SELECT setval(pg_get_serial_sequence('principal', 'id'), 100)");
    },
    audit: () => all("SELECT * FROM audit_event WHERE refusal IS NULL ORDER BY id") as unknown as AuditRow[],
    dump: () => JSON.stringify(ask(`SELECT * FROM (${dump}) AS rows ORDER BY name, row COLLATE "C"`, [])),
    explain: (sql) => ask(`EXPLAIN ${sql}`, []).map((row) => String(row["QUERY PLAN"])),
    close,
    [Symbol.dispose]: close,
  };
}

/** The use of a token and of a password is recorded later, whatever the outcome of the request. */
function dumpOf(name: string): string {
  return `SELECT '${name}' AS name, (to_jsonb(t) - 'last_used')::text AS row FROM "${name}" AS t ${COUNTED[name] ?? ""}`;
}

/** Refusals are counted, and so are failed logins, whatever the outcome of the request. */
const COUNTED: Readonly<Record<string, string>> = {
  audit_event: "WHERE refusal IS NULL",
  login_failure: "WHERE bucket NOT LIKE 'known:%'",
};

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll("?", () => `$${(count += 1)}`);
}

function withNumbers(row: object): Row {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, typeof value === "boolean" ? Number(value) : value]),
  );
}

type OpenedConnection = { ask(sql: string, values: readonly Value[]): Record<string, unknown>[]; close(): void };

function openConnection(url: string): OpenedConnection {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const { port1: port, port2 } = new MessageChannel();
  const worker = new Worker(new URL("./postgres-rows-worker.ts", import.meta.url), {
    workerData: { url, gate, port: port2 },
    transferList: [port2],
  });
  worker.unref();
  port.unref();
  return {
    ask: (sql, values) => {
      Atomics.store(gate, 0, 0);
      port.postMessage({ sql, values } satisfies Question);
      if (Atomics.wait(gate, 0, 0, ANSWER_MS) === "timed-out") throw new Error(`no answer to ${sql}`);
      const answer = answerAt(port);
      if (answer.kind === "failed") throw new Error(`${answer.message}: ${sql}`);
      return answer.rows;
    },
    // The server rolls back what the connection has not committed.
    close: () => {
      port.close();
      void worker.terminate();
    },
  };
}

function answerAt(port: MessagePort): Answer {
  const received: { readonly message: Answer } | undefined = receiveMessageOnPort(port);
  if (!received) throw new Error("the thread of the connection has ended");
  return received.message;
}
