// Deletes an object such that no delayed request can delete a later upload of the same key.
//
// A request without an answer can still be under way, and reach the service after the same content was stored again. So
// each request is valid for seconds only, and a deletion that got no answer fails only when no request of it is valid any
// more. Callers delete inside a transaction, so nobody refers to the content before that.

import { setTimeout as pause } from "node:timers/promises";
import { DeleteObjectCommand } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { systemClock } from "../../clock.ts";
import { ServiceError, statusOf } from "./faults.ts";
import type { Requests } from "./requests.ts";
import type { Target } from "./upload.ts";

const VALID_SECONDS = 5;
/** The clocks of this machine and of the service can differ by this. */
const SKEW_MS = 2000;
const LIMITS = { attemptMs: 2000, totalMs: 8000 };

export async function deleteObject({ client, run }: Requests, target: Target): Promise<void> {
  /** When the last request without an answer cannot be accepted any more. */
  let doubtEnds = 0;
  const now = systemClock.elapsed;
  try {
    await run(async (signal) => {
      const doubtEnded = doubtEnds;
      doubtEnds = now() + VALID_SECONDS * 1000 + SKEW_MS;
      const url = await getSignedUrl(client, new DeleteObjectCommand(target), { expiresIn: VALID_SECONDS });
      try {
        await send(url, signal);
      } catch (error) {
        if (statusOf(error) !== undefined) doubtEnds = doubtEnded;
        throw error;
      }
    }, LIMITS);
  } catch (error) {
    await pause(Math.max(0, doubtEnds - now()));
    throw error;
  }
}

async function send(url: string, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, { method: "DELETE", signal, redirect: "manual" });
  const text = await response.text();
  if (response.ok) return;
  const code = /<Code>(\w{1,100})<\/Code>/.exec(text)?.[1] ?? "NoCode";
  if (code !== "NoSuchKey") throw new ServiceError(code, response.status);
}
