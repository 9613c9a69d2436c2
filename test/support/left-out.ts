// Reports that a part of the tests cannot run on this machine; `check` prints the report, and CI fails on it.

import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "../../.cache");

export function leaveOut(what: string, why: string): void {
  mkdirSync(FOLDER, { recursive: true });
  appendFileSync(join(FOLDER, "left-out.txt"), `${what}: ${why}\n`);
}
