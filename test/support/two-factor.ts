// An authenticator app, and accounts that use one.

import { TOTP, URI } from "otpauth";
import { apiOf, type ApiClient } from "./api.ts";
import type { TestApp } from "./app.ts";

export const STEP_MS = 30_000;

/** A client's clock is the server's, plus whole steps. */
export type App = { code(steps?: number): string };

export function authenticator(uri: string, now: () => number): App {
  const totp = URI.parse(uri);
  if (!(totp instanceof TOTP)) throw new Error(`not of an app: ${uri}`);
  return { code: (steps = 0) => totp.generate({ timestamp: now() + steps * STEP_MS }) };
}

export type Account = {
  readonly app: App;
  readonly secret: string;
  readonly recoveryCodes: readonly string[];
  /** A client that sends the password, and the code if there is one. */
  readonly with: (code?: string) => ApiClient;
};

/** Turns two-factor authentication on; the clock is then one step further, so that the present code has not counted. */
export async function turnOn(
  server: TestApp,
  name: string,
  clock: { now(): number; pass(ms: number): void },
): Promise<Account> {
  const api = apiOf(server, name);
  const { secret, uri } = (await api("POST", "/user/two-factor")).json as { secret: string; uri: string };
  const app = authenticator(uri, clock.now);
  const confirmed = await api("POST", "/user/two-factor/confirm", { code: app.code() });
  if (confirmed.status !== 200) throw new Error(confirmed.text);
  const { recovery_codes: recoveryCodes } = confirmed.json as { recovery_codes: string[] };
  clock.pass(STEP_MS);
  const withCode = (code?: string): ApiClient => {
    const header = code === undefined ? {} : { "x-gitea-otp": code };
    return (method, path, json, headers) => api(method, path, json, { ...header, ...headers });
  };
  return { app, secret, recoveryCodes, with: withCode };
}

/** Six digits that are not valid now, nor a step before or after. */
export function wrongCode(app: App, salt = 0): string {
  const valid = new Set([-1, 0, 1].map((step) => app.code(step)));
  for (let at = salt; ; at++) {
    const code = String(100_000 + at);
    if (!valid.has(code)) return code;
  }
}
