// A separate process: many clients that read one document concurrently and discard it.

import { z } from "zod";

import { answerParent } from "./child.ts";
import { callOnce, expectStatus } from "./client.ts";
import { whyAbsent } from "./documents.ts";

const loadShape = z.object({
  url: z.string(),
  path: z.string(),
  isLimited: z.boolean().optional(),
  clients: z.number(),
});

/** `absent` says why the channel does not offer the document. */
export const clientsShape = z.object({ absent: z.string().optional() });

export type ClientsLoad = z.infer<typeof loadShape>;

if (import.meta.main) await answerParent(loadShape, run);

async function run({ url, path, clients, isLimited }: ClientsLoad): Promise<z.infer<typeof clientsShape>> {
  const answers = await Promise.all(Array.from({ length: clients }, () => callOnce(url, { path })));
  const absent = answers.flatMap((answer) => whyAbsent({ isLimited }, answer) ?? [])[0];
  if (absent !== undefined) return { absent };
  for (const answer of answers) expectStatus(answer, 200, path);
  return {};
}
