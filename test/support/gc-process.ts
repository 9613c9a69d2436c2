// A process that repeatedly collects in a data folder, without a grace time, until its input ends.

import { openManagement } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";

const [folder = ""] = process.argv.slice(2);
const { config } = loadConfig({ flags: { data: folder, "min-free-space": "1MiB" } });
const management = await openManagement(config);
const ending = new AbortController();
void Bun.stdin.text().then(() => ending.abort());
let [rounds, blobs] = [0, 0];
while (!ending.signal.aborted) {
  const { totals } = await management.gc({ graceMs: 0 });
  rounds += 1;
  blobs += totals.find(({ kind }) => kind === "blob")?.count ?? 0;
  await Bun.sleep(1);
}
await management.close();
console.log(JSON.stringify({ rounds, blobs }));
