// Two-factor authentication with curl and py-rattler, as people and CI use it.

import { describe, expect, test } from "bun:test";

import { z } from "zod";

import { authenticator } from "../support/two-factor.ts";
import { createMachine, curl, haveClients } from "./clients.ts";
import { solve, useScene } from "./scene.ts";

const NEW = z.object({ secret: z.string(), uri: z.string() });
const CONFIRMED = z.object({ recovery_codes: z.array(z.string()).length(10) });

describe.skipIf(!(await haveClients()))("two-factor authentication with curl and py-rattler", () => {
  const scene = useScene(async (opened) => {
    const made = await opened.server.condarium(["channel", "create", "alice/secret", "--visibility", "private"]);
    expect(made.code).toBe(0);
    await opened.publish("secret", opened.packages.find("weather-lib"), opened.packages.find("weather-data"));
  });

  test("is turned on, wanted for the password, not for a token, and reset", async () => {
    const { server, alice, packages, put, channel } = scene();
    const user = ["--user", `${alice.name}:${alice.password}`];
    const api = `${server.url}/api/v1/user/two-factor`;
    const json = ["--header", "Content-Type: application/json"];

    const begun = await curl(...user, "--request", "POST", api);
    expect(begun.status).toBe(201);
    const app = authenticator(NEW.parse(JSON.parse(begun.body)).uri, Date.now);
    const confirmed = await curl(...user, ...json, "--data", JSON.stringify({ code: app.code() }), `${api}/confirm`);
    expect(confirmed.status).toBe(200);
    const { recovery_codes: recovery } = CONFIRMED.parse(JSON.parse(confirmed.body));

    const built = packages.find("weather-lib");
    const alone = await put("more", built);
    expect([alone.status, alone.body]).toEqual([401, expect.stringContaining("X-Gitea-OTP")]);
    const otp = (code = ""): string[] => [...user, "--header", `X-Gitea-OTP: ${code}`];
    // The next code, in case the present one has confirmed.
    const code = app.code(1);
    expect((await put("more", built, otp(code))).status).toBe(201);
    expect((await put("other", built, otp(code))).status).toBe(401);
    expect((await put("other", built, otp(recovery[0]))).status).toBe(201);

    const machine = await createMachine();
    await machine.signIn({ "127.0.0.1": { BasicHTTP: { username: alice.name, password: alice.password } } });
    expect(solve(channel("secret"), ["weather-data"], machine)).rejects.toThrow("401");
    await machine.signIn({ "127.0.0.1": { BasicHTTP: { username: alice.name, password: alice.token } } });
    expect(await solve(channel("secret"), ["weather-data"], machine)).toHaveLength(1);
    await machine.remove();

    expect((await server.condarium(["user", "reset-two-factor", "alice"])).code).toBe(0);
    expect((await put("third", built)).status).toBe(201);
    for (const secret of [app.code(1), ...recovery]) expect(server.log()).not.toContain(`"${secret}"`);
  });
});
