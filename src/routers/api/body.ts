// JSON bodies of the API: small, complete, and valid for the schema of their route.

import { setTimeout as pause } from "node:timers/promises";
import type { z } from "zod";
import { AppError, malformed } from "../../errors.ts";
import type { Call } from "../request-pipeline.ts";

export const MAX_BODY = 64 * 1024;
const MAX_MS = 30_000;

/**
 * Errors: `unsupported` for another content type, `too-large`, `timeout`, `malformed` for text that is not JSON,
 * `unprocessable` for JSON that the schema refuses.
 */
export async function bodyOf<Body>(call: Call, schema: z.ZodType<Body>): Promise<Body> {
  refuseOtherTypes(call.request);
  const parsed = schema.safeParse(parsedJson(await textOf(call)));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  // The message of an issue never repeats the value, which can be a password.
  const field = issue?.path.join(".") ?? "";
  const message = issue?.message ?? "it is invalid";
  throw new AppError("unprocessable", field === "" ? `The body: ${message}.` : `The member "${field}": ${message}.`, {
    members: { field },
  });
}

function refuseOtherTypes({ headers }: Request): void {
  const type = headers.get("content-type");
  if (type !== null && !/^application\/json\s*(;|$)/i.test(type))
    throw new AppError("unsupported", "The body must be JSON, with the header Content-Type: application/json.");
  const encoding = headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  throw new AppError("unsupported", "The body must have no Content-Encoding.");
}

async function textOf({ request, body }: Call): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const late = new AbortController();
  const deadline = pause(MAX_MS, undefined, { signal: late.signal }).then(() => {
    throw new AppError("timeout", `The body did not arrive within ${MAX_MS / 1000} seconds.`);
  });
  deadline.catch(() => undefined);
  try {
    const reading = body()?.[Symbol.asyncIterator]();
    for (;;) {
      const next = await Promise.race([reading?.next(), deadline]);
      if (!next || next.done === true) break;
      length += next.value.byteLength;
      if (length > MAX_BODY) throw tooLarge();
      chunks.push(next.value);
    }
  } finally {
    late.abort();
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw malformed("The body is not UTF-8.");
  }
}

/** Errors: `malformed`. */
function parsedJson(text: string): unknown {
  if (text.trim() === "") throw malformed("The request needs a body: a JSON object.");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed("The body is not valid JSON.");
  }
  // The engines of the database cannot store a NUL, or the half of a character.
  if (/\\u0000|\0/.test(JSON.stringify(value))) throw malformed("The body has a NUL character.");
  if (!isWellFormed(value)) throw malformed("The body has a lone surrogate.");
  return value;
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, member]) => key.isWellFormed() && isWellFormed(member));
}

function tooLarge(): AppError {
  return new AppError("too-large", `The body must have at most ${MAX_BODY} bytes.`, { members: { limit: MAX_BODY } });
}
