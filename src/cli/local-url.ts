// The base URL under which this machine reaches a server, by its listen address.

import { splitAddress } from "../config.ts";

export type LocalUrl = {
  readonly url: string;
  /** `host:port`, with an IPv6 address in brackets. */
  readonly address: string;
  /** Whether the server listens on all addresses of the machine, so that its own name is unknown. */
  readonly isEverywhere: boolean;
};

/** By the normal form of the host in a URL: an address has several forms, such as `0` and `[0:0:0:0:0:0:0:0]`. */
const EVERYWHERE: Readonly<Record<string, string>> = {
  "0.0.0.0": "127.0.0.1",
  "[::]": "[::1]",
  "[::ffff:0:0]": "127.0.0.1",
};

/** `port` replaces that of the listen address, which can be 0. */
export function localUrl(listen: string, port = splitAddress(listen).port): LocalUrl {
  const { hostname } = splitAddress(listen);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  const local = EVERYWHERE[URL.parse(`http://${host}`)?.hostname ?? ""];
  return { url: `http://${local ?? host}:${port}`, address: `${host}:${port}`, isEverywhere: local !== undefined };
}
