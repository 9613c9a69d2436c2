// Clients that publish, delete and read at once, each its own files, and write down what each answer means.

import { startTestApp } from "../app.ts";
import { newToken } from "../manage.ts";
import { buildPackage } from "../package-builder.ts";
import { below, generator, type Random } from "../history.ts";
import { noise } from "../noise.ts";
import type { Item, Ledger } from "./ledger.ts";
import { filesOfDocument, DOCUMENTS } from "./read-back.ts";

const CLIENTS = 4;
const NAMES = 5;
const CHANNELS = ["main", "dev"];
/** The channel that one client has for itself, and deletes. */
export const SCRATCH = "scratch";
export const OWNER = "alice";

/** The files of all clients. Each package goes to two channels, so they share a blob. */
export function newItems(): Item[] {
  const items: Item[] = [];
  for (let client = 0; client < CLIENTS; client++) {
    for (let at = 0; at < NAMES; at++) {
      const name = `c${client}-${at}`;
      // The last ones arrive in several chunks.
      const files = at === NAMES - 1 ? { "share/noise": noise(300 * 1024) } : undefined;
      const built = buildPackage({ name, version: "1", ...(files ? { files } : {}) });
      const impostor = buildPackage({ name, version: "1", depends: ["other"] });
      const channels = client === 0 ? [SCRATCH] : CHANNELS;
      items.push(...channels.map((channel) => ({ channel, built, impostor })));
    }
  }
  return items;
}

/** A data folder with a user; returns a token of the user. */
export async function prepare(folder: string): Promise<string> {
  const app = await startTestApp({ folder });
  await app.addUser(OWNER);
  const token = await newToken(app.manage, { user: OWNER, name: "load", scopes: ["all"] });
  await app.close();
  return token;
}

export type Load = {
  readonly url: string;
  readonly token: string;
  readonly ledger: Ledger;
  readonly seed: number;
  /** Ends the load. */
  readonly signal: AbortSignal;
  /** Whether the end aborts requests under way: a dead server would never answer. A live one still does their work. */
  readonly cuts: boolean;
  /** Deletes the scratch channel; returns whether that was acknowledged. Without it the channel is not deleted. */
  readonly deleteScratch?: (() => Promise<boolean>) | undefined;
};

/** Runs until the signal. Requests under way at that time end first, or count as unanswered. */
export async function runLoad(load: Load): Promise<void> {
  await Promise.all(Array.from({ length: CLIENTS }, (_, at) => runClient(load, at)));
}

async function runClient(load: Load, client: number): Promise<void> {
  const random = generator(load.seed * CLIENTS + client + 1);
  const own = load.ledger.items.filter(({ built }) => built.fileName.startsWith(`c${client}-`));
  while (!load.signal.aborted && load.ledger.problems.length === 0) {
    const item = own[below(random, own.length)];
    if (!item) throw new Error("a client has files");
    if (load.deleteScratch && client === 0 && random() < 0.05) await emptyScratch(load, load.deleteScratch, own);
    else await step(load, item, random);
    // A server that refuses everything at once would otherwise be asked thousands of times.
    await Bun.sleep(1);
  }
}

async function step(load: Load, item: Item, random: Random): Promise<void> {
  if (load.ledger.of(item) !== "present") return await publish(load, item);
  const roll = random();
  if (roll < 0.4) await remove(load, item);
  else if (roll < 0.5) await publish(load, item);
  else if (roll < 0.6) await publishImpostor(load, item);
  else if (roll < 0.85) await readDocument(load, item, DOCUMENTS[below(random, DOCUMENTS.length)] ?? DOCUMENTS[0]);
  else await download(load, item);
}

type Answer = { readonly status: number; readonly bytes: Uint8Array };

/** Undefined when the connection broke before the end of the answer. */
async function ask({ url, token, ledger, signal, cuts }: Load, what: string, path: string, init: RequestInit = {}) {
  try {
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}${path}`, { ...init, headers, ...(cuts ? { signal } : {}) });
    const bytes = await answer.bytes();
    ledger.count(what, answer.status);
    return { status: answer.status, bytes } satisfies Answer;
  } catch {
    ledger.count(what, "broken");
    return undefined;
  }
}

const isFailure = (answer: Answer | undefined): boolean => !answer || answer.status >= 500;

async function publish(load: Load, item: Item): Promise<void> {
  const { ledger } = load;
  const { fileName, bytes } = item.built;
  const path = `/api/packages/${OWNER}/conda/${item.channel}/${fileName}`;
  const answer = await ask(load, "publish", path, { method: "PUT", body: bytes.slice() });
  // A full disk refuses before the commit: the file is there only if it was there before.
  if (answer?.status === 507) return;
  if (isFailure(answer)) {
    if (ledger.of(item) !== "present") ledger.change(item, "unknown");
  } else if (answer?.status === 201) {
    ledger.learn(item, "absent", "the answer to a publish");
    ledger.change(item, "present");
  } else if (answer?.status === 409) ledger.learn(item, "present", "the answer to a publish");
  else ledger.problems.push(`publishing ${path} was answered ${answer?.status}: ${textOf(answer)}`);
}

async function publishImpostor(load: Load, item: Item): Promise<void> {
  const { fileName, bytes } = item.impostor;
  const path = `/api/packages/${OWNER}/conda/${item.channel}/${fileName}`;
  const answer = await ask(load, "impostor", path, { method: "PUT", body: bytes.slice() });
  if (!isFailure(answer) && answer?.status !== 409)
    load.ledger.problems.push(`other bytes for ${path} were answered ${answer?.status}`);
}

async function remove(load: Load, item: Item): Promise<void> {
  const { ledger } = load;
  const answer = await ask(load, "delete", pathOf(item), { method: "DELETE" });
  if (answer?.status === 204) ledger.change(item, "absent");
  else if (isFailure(answer)) ledger.change(item, "unknown");
  else ledger.problems.push(`deleting ${pathOf(item)} was answered ${answer?.status}`);
}

async function readDocument(load: Load, item: Item, document: (typeof DOCUMENTS)[number]): Promise<void> {
  const path = `/${OWNER}/${item.channel}/noarch/`;
  const get = async (name: string): Promise<Uint8Array | undefined> => {
    const answer = await ask(load, "document", path + name);
    if (answer?.status === 200) return answer.bytes;
    if (!isFailure(answer)) load.ledger.problems.push(`${path + name} was answered ${answer?.status}`);
    return undefined;
  };
  const files = await filesOfDocument(document, get);
  if (files && files.get(item.built.fileName) !== item.built.sha256)
    load.ledger.problems.push(`${path + document} lacks ${item.built.fileName}, whose publish was acknowledged before`);
}

async function download(load: Load, item: Item): Promise<void> {
  const answer = await ask(load, "download", pathOf(item));
  if (isFailure(answer) || !answer) return;
  if (answer.status !== 200 || Buffer.compare(answer.bytes, item.built.bytes) !== 0)
    load.ledger.problems.push(`${pathOf(item)} was answered ${answer.status} with ${answer.bytes.length} bytes`);
}

async function emptyScratch({ ledger }: Load, deleteScratch: () => Promise<boolean>, own: readonly Item[]) {
  if (!own.some((item) => ledger.of(item) === "present")) return;
  const isDone = await deleteScratch();
  ledger.count("delete channel", isDone ? 204 : "broken");
  for (const item of own) {
    if (isDone) ledger.change(item, "absent");
    else if (ledger.of(item) === "present") ledger.change(item, "unknown");
  }
}

function pathOf({ channel, built }: Item): string {
  return `/${OWNER}/${channel}/noarch/${built.fileName}`;
}

function textOf(answer: Answer | undefined): string {
  return new TextDecoder().decode(answer?.bytes).slice(0, 500);
}
