// A process of its own: many clients that read one document at once and throw it away.

import { z } from "zod";

import { answerParent } from "./child.ts";
import { callOnce, expectStatus } from "./client.ts";

const loadShape = z.object({ url: z.string(), path: z.string(), clients: z.number() });

/** `absent` says why the document is not offered. */
export const clientsShape = z.object({ absent: z.string().optional() });

export type ClientsLoad = z.infer<typeof loadShape>;

if (import.meta.main) await answerParent(loadShape, run);

async function run({ url, path, clients }: ClientsLoad): Promise<z.infer<typeof clientsShape>> {
  const answers = await Promise.all(Array.from({ length: clients }, () => callOnce(url, { path })));
  const absent = answers.find(({ status }) => status === 404);
  if (absent) return { absent: Buffer.from(absent.body).toString() };
  for (const answer of answers) expectStatus(answer, 200, path);
  return {};
}
