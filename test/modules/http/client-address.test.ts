import { describe, expect, test } from "bun:test";
import { createClientAddress, isAddressOrNetwork, networkOf } from "../../../src/modules/http/client-address.ts";

function scene(...trusted: string[]) {
  const reported: string[] = [];
  return { reported, clientOf: createClientAddress({ trusted, onUntrusted: (peer) => void reported.push(peer) }) };
}

describe("the client behind proxies", () => {
  test.each([
    ["127.0.0.0/8", "127.9.9.9", "192.0.2.7", "192.0.2.7"],
    ["127.0.0.0/8", "128.0.0.1", "192.0.2.7", "128.0.0.1"],
    ["10.1.2.3/8", "10.9.9.9", "192.0.2.7", "192.0.2.7"],
    ["10.0.0.1/32", "10.0.0.2", "192.0.2.7", "10.0.0.2"],
    ["2001:db8::/32", "2001:DB8:1::5", "192.0.2.7", "192.0.2.7"],
    ["2001:db8::/32", "2001:db9::5", "192.0.2.7", "2001:db9::5"],
    ["::1", "::1", "2001:DB8:0:0::1", "2001:db8::1"],
    ["::ffff:10.0.0.0/104", "10.200.0.1", "192.0.2.7", "192.0.2.7"],
    ["::ffff:10.0.0.0/104", "11.0.0.1", "192.0.2.7", "11.0.0.1"],
    ["10.0.0.1", "10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"],
    ["10.0.0.1", "10.0.0.1", "fe80::1%eth0", "fe80::1"],
    ["10.0.0.1", "10.0.0.1", "192.0.2.1:1234", "192.0.2.1"],
    ["10.0.0.1", "10.0.0.1", "[2001:db8::1]:1234", "2001:db8::1"],
    ["10.0.0.1", "10.0.0.1", "[2001:db8::1]", "2001:db8::1"],
    ["10.0.0.0/8", "10.0.0.1", "192.0.2.7, 10.0.0.3:80,10.0.0.2", "192.0.2.7"],
    ["10.0.0.0/8", "10.0.0.1", "198.51.100.1, 192.0.2.7, 10.0.0.2", "192.0.2.7"],
    ["10.0.0.0/8", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"],
    ["10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"],
    ["10.0.0.0/8", "10.0.0.1", " , 192.0.2.7 ,, ", "192.0.2.7"],
    ["0.0.0.0/0", "10.0.0.1", "2001:db8::1", "2001:db8::1"],
    ["::/0", "2001:db8::2", "2001:db8::1", "2001:db8::1"],
  ])("with %s trusted, a connection from %s and %j is %s", (trusted, peer, forwarded, client) => {
    expect(scene(trusted).clientOf(forwarded, peer)).toBe(client);
  });

  test.each([
    "unknown",
    "_hidden",
    "192.0.2.256",
    "192.0.2.7:port",
    "192.0.2.7:123456",
    "[192.0.2.7]",
    "[2001:db8::1",
    "2001:db8::1]:80",
    "[2001:db8::1]x",
    "192.0.2.7/24",
    "1.2.3",
    "\u0000",
    "x".repeat(10_000),
  ])("is never read from beyond the unparsable entry %.20s", (entry) => {
    const { clientOf } = scene("10.0.0.0/8");
    expect(clientOf(`198.51.100.9, ${entry}`, "10.0.0.1")).toBe("10.0.0.1");
    expect(clientOf(`198.51.100.9, ${entry}, 10.0.0.5`, "10.0.0.1")).toBe("10.0.0.5");
    expect(clientOf(`${entry}, 192.0.2.7`, "10.0.0.1")).toBe("192.0.2.7");
  });

  test("is the peer without the header, and nothing is reported", () => {
    const { clientOf, reported } = scene();
    expect([clientOf(null, "10.0.0.1"), clientOf("192.0.2.7", "")]).toEqual(["10.0.0.1", ""]);
    expect(reported).toEqual([]);
  });

  test("reports a proxy that is not trusted once, and one that is trusted never", () => {
    const { clientOf, reported } = scene("10.0.0.1");
    clientOf("192.0.2.7", "10.0.0.1");
    expect(reported).toEqual([]);
    for (const peer of ["10.0.0.2", "10.0.0.2", "10.0.0.3"]) expect(clientOf("192.0.2.7", peer)).toBe(peer);
    expect(reported).toEqual(["10.0.0.2"]);
  });
});

describe("an address or network", () => {
  test.each([
    "127.0.0.1",
    "::1",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::/8",
    "::ffff:10.0.0.0/104",
    "10.0.0.1/32",
    "::/128",
  ])("can be %s", (text) => expect(isAddressOrNetwork(text)).toBe(true));

  test.each([
    "10.0.0.0/33",
    "proxy.internal",
    "*",
    "",
    "fd00::/129",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "10.0.0/8",
    "010.0.0.1",
    "[::1]",
    "fe80::1%eth0",
    "127.0.0.1:80",
    "::1 ",
  ])("cannot be %j", (text) => expect(isAddressOrNetwork(text)).toBe(false));
});

describe("the network of an address", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::ffff:c000:207", "192.0.2.7"],
    ["2001:db8::7", "2001:db8:0:0::/64"],
    ["2001:DB8:0:0:ffff::1", "2001:db8:0:0::/64"],
    ["2001:db8:0:1::1", "2001:db8:0:1::/64"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["1::", "1:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["", ""],
    ["x".repeat(100), "x".repeat(64)],
  ])("%s is %s", (address, network) => expect(networkOf(address)).toBe(network));
});
