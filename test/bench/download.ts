// `download`: packages of three sizes, compared with nginx serving the same files.

import { randomBytes } from "node:crypto";

import { buildPackage } from "../support/package-builder.ts";
import { type Bench, byTurns, GB, MB, type Measurement } from "./bench.ts";
import { getAgain, hasPeers, withNginx } from "./peers.ts";
import type { Row } from "./report.ts";
import { publish, withServer } from "./server.ts";

type Size = { readonly what: string; readonly bytes: number; readonly ratio: number };

const SIZES: readonly Size[] = [
  { what: "20 KB", bytes: 20_000, ratio: 0.6 },
  { what: "1 MiB", bytes: 1024 ** 2, ratio: 0.8 },
  { what: "20 MB", bytes: 20 * MB, ratio: 0.8 },
];

export const download: Measurement = { name: "download", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!hasPeers(bench, "download")) return [];
  const packages = SIZES.map((size, at) => {
    const files = { "share/noise.bin": randomBytes(size.bytes) };
    return { ...size, ...buildPackage({ name: `size-${at}`, version: "1.0", files }) };
  });
  const files = Object.fromEntries(packages.map(({ fileName, bytes }) => [fileName, bytes]));
  return await withServer(bench, (server) =>
    withNginx(bench, files, async (nginx) => {
      const rows: Row[] = [];
      for (const { what, ratio, fileName, bytes } of packages) {
        const url = await publish(server, fileName, bytes);
        const ours = (): ReturnType<typeof getAgain> => getAgain(bench, url);
        const { a, b } = await byTurns(bench.runs, ours, () => getAgain(bench, `${nginx}/${fileName}`));
        rows.push(
          {
            what: `GET ${what}`,
            unit: "requests/s",
            samples: a.map(({ requestsPerSecond }) => requestsPerSecond),
            peer: { name: "nginx", samples: b.map(({ requestsPerSecond }) => requestsPerSecond) },
            target: { of: "ratio", is: "at least", number: ratio },
          },
          {
            what: `GET ${what}`,
            unit: "MB/s",
            samples: a.map(({ bytesPerSecond }) => bytesPerSecond / MB),
            peer: { name: "nginx", samples: b.map(({ bytesPerSecond }) => bytesPerSecond / MB) },
          },
        );
      }
      return rows;
    }),
  );
}
