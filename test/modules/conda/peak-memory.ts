// A process that inspects one package and prints the bytes by which its memory has grown.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { ARCHIVE_LIMITS } from "../../../src/modules/conda/archive.ts";
import { inspectArchive } from "../../../src/modules/conda/inspect-archive.ts";

const [path = ""] = process.argv.slice(2);
const before = process.memoryUsage().rss;
const inspection = await inspectArchive(path, { fileName: basename(path), limits: ARCHIVE_LIMITS });
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
console.log(JSON.stringify({ kind: inspection.kind, grown: peak - before }));
