// Publishes small packages one by one over a kept connection, and deletes them again.

import { buildPackage } from "../../support/package-builder.ts";
import { SUBDIR } from "./channel-files.ts";
import { type Client, expectStatus } from "./client.ts";

export type PublisherOptions = {
  readonly token: string;
  /** A token of `admin`. */
  readonly channel: string;
  /** Distinct for each publisher of a channel. */
  readonly series: string;
};

export type Publisher = {
  /** Each package has a new name. */
  publish(): Promise<{ readonly name: string; readonly fileName: string; readonly ms: number }>;
  /** Deletes all published packages, so that the channel is as large as before. */
  remove(): Promise<void>;
};

export function createPublisher(client: Client, { token, channel, series }: PublisherOptions): Publisher {
  const base = `/api/packages/admin/conda/${channel}`;
  const published: string[] = [];
  return {
    publish: async () => {
      // Names spread over the alphabet, as those of many publishers are.
      const name = `${Bun.hash(`${series} ${published.length}`).toString(36)}-${series}`;
      const built = buildPackage({ name, version: "1.0", subdir: SUBDIR, depends: ["python >=3.9"] });
      const answer = await client.call({ method: "PUT", path: `${base}/${built.fileName}`, token, send: built.bytes });
      expectStatus(answer, 201, built.fileName);
      published.push(built.fileName);
      return { name, fileName: built.fileName, ms: answer.endMs };
    },
    remove: async () => {
      for (const fileName of published.splice(0)) {
        const answer = await client.call({ method: "DELETE", path: `${base}/${SUBDIR}/${fileName}`, token });
        expectStatus(answer, 204, fileName);
      }
    },
  };
}
