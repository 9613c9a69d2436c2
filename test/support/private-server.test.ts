// Servers of the machine that tests start.

import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leaveOut } from "./left-out.ts";
import { startPrivateServer } from "./private-server.ts";

const canTie = Bun.which("setpriv") !== null;
if (!canTie) leaveOut("the end of private servers with the test process", "setpriv is missing");

describe("a private server", () => {
  test("that ends before it is ready fails the start with its output", async () => {
    const folder = mkdtempSync(join(tmpdir(), "condarium-log-"));
    const start = startPrivateServer({
      command: ["sh", "-c", "echo the port is in use; exit 3"],
      logFile: join(folder, "log"),
      isReady: async () => false,
    });
    expect(start).rejects.toThrow(/^sh did not start: the port is in use$/m);
    await start.catch(() => undefined);
    rmSync(folder, { recursive: true });
  });

  test.skipIf(!canTie)("ends with a test process that is killed, and its folder goes", async () => {
    const script = `
      import { privateFolder, startPrivateServer } from ${JSON.stringify(join(import.meta.dir, "private-server.ts"))};
      const folder = privateFolder("tied");
      const parts = { command: ["sleep", "60"], logFile: folder + "/log", isReady: async () => true };
      console.log(JSON.stringify({ folder, pid: (await startPrivateServer(parts)).pid }));
      await Bun.sleep(60_000);`;
    const parent = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    const { folder, pid } = await firstLine(parent.stdout);
    await until(() => commandOf(pid) === "sleep 60 ");
    expect(existsSync(folder)).toBe(true);
    parent.kill("SIGKILL");
    await until(() => commandOf(pid) === "" && !existsSync(folder));
  });
});

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<{ folder: string; pid: number }> {
  const { value } = await stream.getReader().read();
  return JSON.parse(new TextDecoder().decode(value)) as { folder: string; pid: number };
}

/** Empty for a process that has ended. */
function commandOf(pid: number): string {
  const file = `/proc/${pid}/cmdline`;
  return existsSync(file) ? readFileSync(file, "utf8").replaceAll("\0", " ") : "";
}

async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; waited < 500 && !holds(); waited++) await Bun.sleep(20);
  expect(holds()).toBe(true);
}
