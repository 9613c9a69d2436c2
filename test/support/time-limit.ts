// Gives each test two minutes, for busy machines: `bun test` loads this before everything else.
// Bun 1.4.5 takes no time limit from bunfig.toml, and `setDefaultTimeout` applies only to the file that calls it.

import { plugin } from "bun";

const LIMIT_MS = 120_000;
const CALL = `import { setDefaultTimeout as limitTests } from "bun:test"; limitTests(${LIMIT_MS});`;

plugin({
  name: "time limit",
  setup: (build) => {
    build.onLoad({ filter: /\.(?:test|postgres)\.ts$/ }, async ({ path }) => ({
      loader: "ts",
      // On the first line, so that the line numbers of failures stay unchanged.
      contents: `${CALL} ${await Bun.file(path).text()}`,
    }));
  },
});
