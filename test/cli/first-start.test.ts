import { expect, test } from "bun:test";
import { firstStart } from "../../src/cli/first-start.ts";
import { loadConfig } from "../../src/config.ts";
import { startTestApp } from "../support/app.ts";

test("two nodes that start an empty registry at the same moment create one administrator, whose password one of them tells", async () => {
  const server = await startTestApp();
  try {
    const { config } = loadConfig({ flags: { data: server.folder }, environment: {} });
    const lines: string[] = [];
    const output = { line: (text: string) => void lines.push(text), note: () => {}, rows: () => {} };
    const start = () => firstStart(server.app.users, "http://conda.example.com", config, output);
    await Promise.all([start(), start()]);
    expect((await server.manage.users.list()).map(({ name }) => name)).toEqual(["admin"]);
    expect(lines.filter((line) => line.startsWith("This is the first start"))).toHaveLength(1);
    await start();
    expect(lines.filter((line) => line.startsWith("This is the first start"))).toHaveLength(1);
  } finally {
    await server.close();
  }
});
