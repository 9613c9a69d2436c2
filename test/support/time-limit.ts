// Gives each test two minutes, on a machine that is busy with others: `bun test` loads this before all else.
// Bun 1.4.5 takes no time limit from bunfig.toml, and `setDefaultTimeout` holds for the file alone that calls it.

import { plugin } from "bun";

const LIMIT_MS = 120_000;
const CALL = `import { setDefaultTimeout as limitTests } from "bun:test"; limitTests(${LIMIT_MS});`;

plugin({
  name: "time limit",
  setup: (build) => {
    build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
      loader: "ts",
      // In the first line, so that the lines of failures stay what they are.
      contents: `${CALL} ${await Bun.file(path).text()}`,
    }));
  },
});
