// The answers of the API: JSON that no cache stores.

export type Answer = {
  readonly status: number;
  /** Undefined: no content. */
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

export const NO_CONTENT: Answer = { status: 204 };

export function ok(json: unknown, headers: Answer["headers"] = {}): Answer {
  return { status: 200, json, headers };
}

export function created(json: unknown): Answer {
  return { status: 201, json };
}

/** ms UTC as ISO 8601 in UTC, to the second, as Gitea has it; null stays null. */
export function timeOf(ms: number): string;
export function timeOf(ms: number | null): string | null;
export function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

export function responseOf(answer: Answer | Response, { method }: Request): Response {
  if (answer instanceof Response) return answer;
  const headers = new Headers({ ...answer.headers, "cache-control": "no-store" });
  if (answer.json === undefined) return new Response(null, { status: answer.status, headers });
  const text = `${JSON.stringify(answer.json)}\n`;
  headers.set("content-type", "application/json");
  headers.set("content-length", String(Buffer.byteLength(text)));
  return new Response(method === "HEAD" ? null : text, { status: answer.status, headers });
}
