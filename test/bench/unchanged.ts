// Repeated requests for an unchanged document, compared with nginx serving the same bytes.

import { z } from "zod";

import type { BodilessLoad } from "./bodiless-load.ts";
import { type Bench, byTurns, MB } from "./bench.ts";
import { getAgain, type Throughput, withNginx } from "./peers.ts";
import { runScript } from "./processes.ts";
import type { Row } from "./report.ts";

export type UnchangedOptions = {
  readonly url: string;
  /** The duration for each document. */
  readonly seconds: number;
  /** Whether responses without a body are measured as well. */
  readonly bodiless: boolean;
  /** The target: the least ratio to nginx. */
  readonly ratio: number;
};

const bodilessResult = z.object({ requests: z.number(), seconds: z.number() });

/** The complete document, a 304 response, and a HEAD response. */
export async function unchangedRows(bench: Bench, options: UnchangedOptions): Promise<Row[]> {
  const { url, seconds, ratio } = options;
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}`);
  const document = await answer.bytes();
  return await withNginx(bench, { document }, async (nginx) => {
    const peer = `${nginx}/document`;
    const beside = <T>(ask: (address: string) => Promise<T>): Promise<{ a: T[]; b: T[] }> =>
      byTurns(
        bench.runs,
        () => ask(url),
        () => ask(peer),
      );
    const rowOf = (what: string, unit: string, samples: readonly number[], peers: readonly number[]): Row => ({
      what,
      unit,
      samples,
      peer: { name: "nginx", samples: peers },
      target: { of: "ratio", is: "at least", number: ratio },
    });
    const get = `GET ${sizeOf(document)}`;
    const whole = await beside((address) => getAgain(bench, address, { seconds }));
    const rows = [
      rowOf(get, "requests/s", whole.a.map(answers), whole.b.map(answers)),
      rowOf(get, "MB/s", whole.a.map(megabytes), whole.b.map(megabytes)),
    ];
    if (!options.bodiless) return rows;
    const [ourTag, peerTag] = [await etagOf(url), await etagOf(peer)];
    const notModified = await beside((address) =>
      answerAgain(address, "GET", { etag: address === url ? ourTag : peerTag, status: 304, seconds }),
    );
    const heads = await beside((address) => answerAgain(address, "HEAD", { status: 200, seconds }));
    return [
      ...rows,
      rowOf("GET, 304", "requests/s", notModified.a, notModified.b),
      rowOf("HEAD", "requests/s", heads.a, heads.b),
    ];
  });
}

const answers = ({ requestsPerSecond }: Throughput): number => requestsPerSecond;
const megabytes = ({ bytesPerSecond }: Throughput): number => bytesPerSecond / MB;

function sizeOf({ byteLength }: Uint8Array): string {
  return byteLength < 0.1 * MB ? `${(byteLength / 1000).toFixed(1)} KB` : `${(byteLength / MB).toFixed(1)} MB`;
}

async function etagOf(url: string): Promise<string> {
  const answer = await fetch(url, { method: "HEAD" });
  const etag = answer.headers.get("etag");
  if (!answer.ok || etag === null) throw new Error(`${url} has no entity tag`);
  return etag;
}

type Bodiless = { readonly etag?: string; readonly status: number; readonly seconds: number };

/** Requests per second whose responses have no body; wrk waits for a body after a HEAD. */
async function answerAgain(url: string, method: "GET" | "HEAD", options: Bodiless): Promise<number> {
  const { hostname, port, host, pathname } = new URL(url);
  const condition = options.etag === undefined ? "" : `If-None-Match: ${options.etag}\r\n`;
  const load: BodilessLoad = {
    host: hostname,
    port: Number(port),
    request: `${method} ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${condition}\r\n`,
    expected: `HTTP/1.1 ${options.status} `,
    connections: 16,
    seconds: options.seconds,
  };
  const { requests, seconds } = bodilessResult.parse(await runScript(import.meta.resolve("./bodiless-load.ts"), load));
  return requests / seconds;
}
