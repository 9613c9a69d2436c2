import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { simpleSolve } from "@conda-org/rattler";
import { z } from "zod";

import { createMachine, haveClients, python } from "./clients.ts";
import { output } from "./run.ts";
import { record, useScene } from "./scene.ts";

const installed = z.object({ records: z.array(record), files: z.array(z.string()) });

const WANTED = ["greeter", "weather-app"];
const SOLVED = [
  "greeter 1!2.0+local",
  "python 3.11.9",
  "weather-app 1.0.0",
  "weather-data 2024.1",
  "weather-lib 1.1.0",
];

describe.skipIf(!(await haveClients()))("installing from a public channel", () => {
  const scene = useScene(async (opened) => {
    await opened.publish("main", ...opened.packages.all);
    await opened.publish("old", ...opened.packages.all.filter(({ format }) => format === "tar.bz2"));
  });

  test.each(["/alice/main", "/api/packages/alice/conda/main", "/get/alice/main", "/alice/old"])(
    "works with py-rattler from %s, and the installed package runs",
    async (path) => {
      const machine = await createMachine();
      const prefix = join(machine.home, "prefix");
      const channel = `${scene().server.url}${path}`;
      const { records, files } = await python("install.py", [channel, prefix, ...WANTED], installed, machine);
      expect(records.map(({ name, version }) => `${name} ${version}`)).toEqual(SOLVED);
      expect(records.every(({ url }) => url.startsWith(`${channel}/`))).toBe(true);
      const extension = path.endsWith("old") ? ".tar.bz2" : ".conda";
      expect(records.every(({ fileName }) => fileName.endsWith(extension))).toBe(true);
      expect(files).toContain("lib/python3.11/site-packages/greeter.py");
      expect(await output([join(prefix, "bin/greet")])).toBe("hello\n");
      expect(await Bun.file(join(prefix, "etc/weather.conf")).text()).toBe(`${prefix}\n`);
      expect(await Bun.file(join(prefix, "post-link-ran")).text()).toBe("done\n");
      await machine.remove();
    },
  );

  test("works with rattler in JavaScript: it solves, and every file in the solution can be downloaded", async () => {
    const solved = await simpleSolve(WANTED, [scene().channel("main")], ["linux-64", "noarch"], []);
    expect(solved.map(({ packageName, version }) => `${packageName} ${version}`).sort()).toEqual(SOLVED);
    for (const { url, filename } of solved) {
      const download = await fetch(url);
      expect(download.status).toBe(200);
      const original = scene().packages.all.find(({ fileName }) => fileName === filename);
      expect((await download.bytes()).length).toBe(Bun.file(original?.path ?? "").size);
    }
  });

  test("reports a missing package name in both clients", async () => {
    const channel = scene().channel("main");
    expect(python("solve.py", [channel, "no-such-package"], z.unknown())).rejects.toThrow("no-such-package");
    expect(simpleSolve(["no-such-package"], [channel], ["noarch"], [])).rejects.toContain("no-such-package");
  });
});
