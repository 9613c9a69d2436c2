// Client addresses: which proxies are trusted, what `X-Forwarded-For` says, and which network an address belongs to.

import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";

/** Returns the address of the client: the peer, or the client that a trusted proxy reports in `X-Forwarded-For`. */
export type ClientAddress = (forwarded: string | null, peer: string) => string;

export type ClientAddressOptions = {
  /** Addresses and networks (CIDR) of trusted proxies. */
  readonly trusted: readonly string[];
  /** Called once, when the header first arrives from an address that is not trusted. */
  readonly onUntrusted: (peer: string) => void;
};

type Network = { readonly address: string; readonly prefix: number };

const IPV4_BITS = 32;
const IPV6_BITS = 128;
const MAPPED_BITS = IPV6_BITS - IPV4_BITS;

export function createClientAddress({ trusted, onUntrusted }: ClientAddressOptions): ClientAddress {
  const isTrusted = trustOf(trusted);
  let isReported = false;
  return (forwarded, peer) => {
    if (forwarded === null) return peer;
    if (!isTrusted(peer)) {
      if (!isReported && peer !== "") onUntrusted(peer);
      isReported ||= peer !== "";
      return peer;
    }
    let client = peer;
    // Each proxy appends the address that it saw, so only the entries right of the first untrusted one are reliable.
    for (const hop of forwarded.split(",").reverse()) {
      if (hop.trim() === "") continue;
      const address = addressOfHop(hop.trim());
      if (address === undefined) return client;
      client = address;
      if (!isTrusted(client)) return client;
    }
    return client;
  };
}

/** Whether the text is an IP address, or a network such as `10.0.0.0/8`. */
export function isAddressOrNetwork(text: string): boolean {
  return parseNetwork(text) !== undefined;
}

/** The IPv4 address, or the /64 of an IPv6 address: one client can usually choose any address in it. */
export function networkOf(address: string): string {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return address.slice(0, 64);
  if (isIPv4(canonical)) return canonical;
  const [left = "", right] = canonical.split("::");
  const [first, last] = [groupsOf(left), groupsOf(right ?? "")];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => "0");
  return `${[...first, ...zeros, ...last].slice(0, 4).join(":")}::/64`;
}

function groupsOf(text: string): string[] {
  return text === "" ? [] : text.split(":");
}

function trustOf(trusted: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const text of trusted) {
    const network = parseNetwork(text);
    if (network) list.addSubnet(network.address, network.prefix, familyOf(network.address));
  }
  return (address) => trusted.length > 0 && isIP(address) !== 0 && list.check(address, familyOf(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}

function parseNetwork(text: string): Network | undefined {
  const [, written = "", length] = /^([^/%]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const address = canonicalAddress(written);
  if (address === undefined) return undefined;
  const bits = isIPv4(written) ? IPV4_BITS : IPV6_BITS;
  const prefix = length === undefined ? bits : Number(length);
  if (prefix > bits) return undefined;
  if (isIPv4(written) || isIPv6(address)) return { address, prefix };
  return prefix < MAPPED_BITS ? { address: written, prefix } : { address, prefix: prefix - MAPPED_BITS };
}

/** The only spelling of an address: IPv6 in lower case and compressed, IPv4-mapped IPv6 as IPv4, without a zone. */
function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return undefined;
  const canonical = new URL(`http://[${text.replace(/%.*$/s, "")}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const [upper, lower] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [upper >> 8, upper & 255, lower >> 8, lower & 255].join(".");
}

/** Some proxies append the port: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function addressOfHop(hop: string): string | undefined {
  const [, bracketed] = /^\[([^[\]]*)\](?::\d{1,5})?$/.exec(hop) ?? [];
  if (bracketed !== undefined) return isIPv6(bracketed) ? canonicalAddress(bracketed) : undefined;
  return canonicalAddress(hop.replace(/^([\d.]+):\d{1,5}$/, "$1"));
}
