// Process entry: runs the command line and sets the exit code.

import { run } from "./cli/index.ts";

process.umask(0o077);
process.exitCode = await run(process.argv.slice(2));
