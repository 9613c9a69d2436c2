// Calls of the API with JSON.

import type { TestApp } from "./app.ts";
import { basic, PASSWORD, peerAt } from "./app.ts";

export type ApiAnswer = {
  readonly status: number;
  readonly json: unknown;
  readonly headers: Headers;
  readonly text: string;
};
export type ApiClient = (
  method: string,
  path: string,
  json?: unknown,
  headers?: Record<string, string>,
) => Promise<ApiAnswer>;

/** A client of `/api/v1` with the password of a user; without a name, or with its own headers, another one. */
export function apiOf(server: TestApp, name?: string, credentials?: Record<string, string>): ApiClient {
  const own = credentials ?? (name === undefined ? {} : basic(name, PASSWORD));
  return async (method, path, json, headers = {}) => {
    const type = json === undefined ? {} : { "content-type": "application/json" };
    const body = json === undefined ? null : typeof json === "string" ? json : JSON.stringify(json);
    const request = new Request(`http://localhost/api/v1${path}`, {
      method,
      headers: { ...own, ...type, ...headers },
      body,
    });
    const response = await server.app.handle(request, peerAt("192.0.2.1"));
    const text = await response.text();
    return { status: response.status, json: parsed(text), headers: response.headers, text };
  };
}

export function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
