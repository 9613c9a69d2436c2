import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { z } from "zod";

import { createMachine, haveClients, python, type Secret } from "./clients.ts";
import { record, solve, useScene } from "./scene.ts";

describe.skipIf(!(await haveClients()))("installing from a private channel with py-rattler", () => {
  const scene = useScene(async (opened) => {
    const made = await opened.server.condarium(["channel", "create", "alice/secret", "--visibility", "private"]);
    expect(made.code).toBe(0);
    await opened.publish("secret", opened.packages.find("weather-lib"), opened.packages.find("weather-data"));
  });

  test("fails without credentials in every form of the address", async () => {
    for (const path of ["/alice/secret", "/api/packages/alice/conda/secret", "/get/alice/secret"]) {
      expect(solve(`${scene().server.url}${path}`, ["weather-data"])).rejects.toThrow("401");
    }
  });

  test("fails with a token that does not exist", async () => {
    const channel = `${scene().server.url}/t/00000000-0000-0000-0000-000000000000/alice/secret`;
    expect(solve(channel, ["weather-data"])).rejects.toThrow("401");
  });

  test("works with a name and a password in the address", async () => {
    const { host } = scene().server;
    const password = encodeURIComponent(scene().alice.password);
    const [found] = await solve(`http://alice:${password}@${host}/alice/secret`, ["weather-data"]);
    expect(found?.name).toBe("weather-data");
  });

  test("works with a token in front of every form of the address", async () => {
    for (const path of ["/alice/secret", "/api/packages/alice/conda/secret", "/get/alice/secret"]) {
      await installs(`${scene().server.url}/t/${scene().alice.token}${path}`);
    }
  });

  test.each(["BasicHTTP", "BearerToken", "CondaToken"] as const)(
    "works with a %s entry of the credentials file",
    async (kind) => {
      const { password, token } = scene().alice;
      const secrets: Record<typeof kind, Secret> = {
        BasicHTTP: { BasicHTTP: { username: "alice", password } },
        BearerToken: { BearerToken: token },
        CondaToken: { CondaToken: token },
      };
      await installs(scene().channel("secret"), secrets[kind]);
    },
  );

  test("works with a token as the password", async () => {
    const secret = { BasicHTTP: { username: "alice", password: scene().alice.token } };
    await installs(scene().channel("secret"), secret);
  });

  test("fails for another user until the channel is granted, then works at once", async () => {
    const bob = await scene().server.createUser("bob");
    const machine = await createMachine();
    await machine.signIn({ "127.0.0.1": { BasicHTTP: { username: "bob", password: bob.password } } });
    const channel = scene().channel("secret");
    expect(solve(channel, ["weather-data"], machine)).rejects.toThrow("403");
    const granted = await scene().server.condarium(["channel", "grant", "alice/secret", "bob", "reader"]);
    expect(granted.code).toBe(0);
    expect(await solve(channel, ["weather-data"], machine)).toHaveLength(1);
    await machine.remove();
  });

  test("leaves no secret in the server's log", () => {
    const log = scene().server.log();
    expect(log).toContain("/alice/secret");
    expect(log).not.toContain(scene().alice.token);
    expect(log).not.toContain(scene().alice.password);
  });
});

async function installs(channel: string, secret?: Secret): Promise<void> {
  const machine = await createMachine();
  if (secret !== undefined) await machine.signIn({ "127.0.0.1": secret });
  const prefix = join(machine.home, "prefix");
  const { records } = await python(
    "install.py",
    [channel, prefix, "weather-data", "weather-lib"],
    z.object({ records: z.array(record) }),
    machine,
  );
  expect(records.map(({ name }) => name)).toEqual(["weather-data", "weather-lib"]);
  expect(await Bun.file(join(prefix, "share/weather.bin")).exists()).toBe(true);
  await machine.remove();
}
