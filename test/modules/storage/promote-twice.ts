// Stages and promotes one blob, each durable step twice, and prints the outcome: a separate process for kernel faults.

import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { blobKey } from "../../../src/modules/storage/keys.ts";

const [root = "", size = "100000"] = process.argv.slice(2);
const store = createDiskStore({ root, reserve: 0 });
const key = blobKey("ab".repeat(32));
const outcomes: string[] = [];
const staged = await store.stage();
const steps = [
  () => staged.append(new Uint8Array(Number(size)).fill(7)),
  () => staged.sync(),
  () => staged.sync(),
  () => staged.promote(key),
  () => staged.promote(key),
];
for (const step of steps) outcomes.push(await step().then(() => "done", codeOf));
await staged.discard();
const blob = await store.open(key);
const isWhole = blob !== undefined && (await blob.bytes()).every((byte) => byte === 7);
console.log(JSON.stringify({ outcomes, size: blob?.size, isWhole }));

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "refused";
}
