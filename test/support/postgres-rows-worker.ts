// The thread of postgres-rows.ts: runs one statement after another on one connection.

import { SQL } from "bun";
import { workerData, type MessagePort } from "node:worker_threads";

export type Question = { readonly sql: string; readonly values: readonly (string | number | null)[] };
export type Answer =
  | { readonly kind: "rows"; readonly rows: Record<string, unknown>[] }
  | { readonly kind: "failed"; readonly message: string };

const { url, gate, port } = workerData as { url: string; gate: Int32Array; port: MessagePort };
// A test that waits for a lock of its own server would wait for ever.
const sql = new SQL({ url, max: 1, prepare: false, connection: { lock_timeout: "5000" } });

port.on("message", (question: Question) => void answer(question));

async function answer(question: Question): Promise<void> {
  port.postMessage(await answerTo(question));
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
}

async function answerTo({ sql: text, values }: Question): Promise<Answer> {
  try {
    return { kind: "rows", rows: [...(await sql.unsafe(text, [...values]))] };
  } catch (error) {
    return { kind: "failed", message: String(error) };
  }
}
