// Process entry: arguments in, exit code out.

import { run } from "./cli/index.ts";

process.umask(0o077);
process.exitCode = await run(process.argv.slice(2));
