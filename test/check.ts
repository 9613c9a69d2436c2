// `bun run check`: everything that must pass before a commit. Ends with one line `N passed, N failed`.

import { runSteps } from "./support/steps.ts";

const bun = process.execPath;

await runSteps([
  { name: "format", command: [bun, "x", "oxfmt", "--check", "."] },
  { name: "lint and types", command: [bun, "x", "oxlint", "--type-aware", "--type-check", "src", "test"] },
  { name: "unused code", command: [bun, "x", "knip"] },
  { name: "code that only tests use", command: [bun, "x", "knip", "--production"] },
  { name: "build", command: [bun, "run", "build"] },
  { name: "tests", command: [bun, "test"], countsTests: true },
  { name: "tests on PostgreSQL and S3", command: [bun, "test/engines.ts", "postgres+s3"], countsTests: true },
]);
