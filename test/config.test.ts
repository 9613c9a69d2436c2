import { describe, expect, test } from "bun:test";
import { environmentName, loadConfig, SETTINGS, shownValue, splitAddress } from "../src/config.ts";

const load = (input: Partial<Parameters<typeof loadConfig>[0]>) => loadConfig({ flags: {}, environment: {}, ...input });
const file = (text: string) => ({ name: "test.toml", text });

describe("the configuration", () => {
  test("has defaults for every setting that needs one", () => {
    const { config, sources } = load({});
    expect(config).toMatchObject({
      data: "./data",
      listen: "127.0.0.1:8080",
      "default-visibility": "public",
      "create-channels": true,
      "max-upload-size": 4 * 1024 ** 3,
      "shutdown-timeout": 30,
      "trusted-proxies": [],
    });
    expect(new Set(Object.values(sources))).toEqual(new Set(["default", "unset"]));
  });

  test("prefers flags over the environment, the environment over the file, and the file over defaults", () => {
    const all = {
      flags: { listen: "127.0.0.1:1" },
      environment: { CONDARIUM_LISTEN: "127.0.0.1:2", CONDARIUM_WORKERS: "2" },
      file: file('listen = "127.0.0.1:3"\nworkers = 3\nmax-upload-size = "1MiB"'),
    };
    const { config, sources } = load(all);
    expect([config.listen, config.workers, config["max-upload-size"]]).toEqual(["127.0.0.1:1", 2, 1024 ** 2]);
    expect([sources.listen, sources.workers, sources["max-upload-size"], sources.data]).toEqual([
      "flag",
      "environment",
      "file",
      "default",
    ]);
  });

  test.each([
    ["an unknown key of the file", { file: file("lisen = 1") }, "lisen"],
    ["a file that is no TOML", { file: file("= =") }, "test.toml"],
    ["an unknown variable", { environment: { CONDARIUM_LISEN: "x" } }, "CONDARIUM_LISEN"],
    ["an address without a port", { flags: { listen: "localhost" } }, "--listen"],
    ["a size that is none", { environment: { CONDARIUM_MAX_UPLOAD_SIZE: "big" } }, "CONDARIUM_MAX_UPLOAD_SIZE"],
    ["a negative size", { file: file("max-upload-size = -1") }, "max-upload-size"],
    ["an unknown visibility", { flags: { "default-visibility": "secret" } }, "--default-visibility"],
    ["a public address that is no http", { flags: { "public-url": "ftp://x" } }, "--public-url"],
  ])("refuses %s and names it", (_, input, name) => {
    expect(() => load(input)).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(name) }),
    );
  });

  test("takes the key of a bucket from the variables of other S3 programs, and its own settings win", () => {
    const storage = "s3://my-bucket/x";
    const aws = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_SESSION_TOKEN: "" };
    const { config, sources } = load({ flags: { storage }, environment: aws });
    expect([config["s3-access-key-id"], config["s3-secret-access-key"], config["s3-session-token"]]).toEqual([
      "a",
      "b",
      undefined,
    ]);
    expect([sources["s3-access-key-id"], sources["s3-session-token"]]).toEqual(["environment", "unset"]);
    const own = load({ flags: { storage }, environment: { ...aws, CONDARIUM_S3_SECRET_ACCESS_KEY: "c" } }).config;
    expect(own["s3-secret-access-key"]).toBe("c");
    expect(shownValue("s3-secret-access-key", own)).toBe("(hidden)");
    expect(shownValue("s3-session-token", own)).toBeNull();
    expect(shownValue("storage", own)).toBe("s3://my-bucket/x?region=us-east-1");
    // A key without a bucket is that of other programs.
    expect(load({ environment: { AWS_ACCESS_KEY_ID: "a" } }).config.storage).toEqual({ kind: "folder" });
  });

  test.each([
    ["a bucket without a key", { storage: "s3://my-bucket/x" }, {}, "AWS_ACCESS_KEY_ID"],
    ["a bucket with half a key", { storage: "s3://my-bucket/x" }, { AWS_ACCESS_KEY_ID: "a" }, "AWS_SECRET_ACCESS_KEY"],
    ["a redirect to the folder", { "storage-redirect": "yes" }, {}, "storage-redirect must be no"],
    ["an unknown parameter", { storage: "s3://my-bucket/x?bucket=y" }, {}, "endpoint, region and path-style"],
  ])("refuses %s and says what to do", (_, flags, environment, remedy) => {
    expect(() => load({ flags, environment })).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining(remedy) }),
    );
  });

  test("ignores unrelated environment variables", () => {
    expect(() => load({ environment: { PATH: "/bin", HOME: "/", CONDARIUM_TEST_SOURCE: "1" } })).not.toThrow();
    // Container platforms set these for a service called condarium.
    const links = { CONDARIUM_PORT: "tcp://10.0.0.1:80", CONDARIUM_SERVICE_HOST: "x", CONDARIUM_PORT_80_TCP: "x" };
    expect(() => load({ environment: links })).not.toThrow();
  });

  test("reads no failpoints unless the build includes them", () => {
    expect(load({ environment: { CONDARIUM_TEST_FAILPOINTS: "p4.renamed=kill" } }).failpoints).toBeUndefined();
  });

  test.each([
    ["1024", 1024],
    ["1KiB", 1024],
    ["1K", 1024],
    ["1KB", 1000],
    ["2GiB", 2 * 1024 ** 3],
  ])("reads %s as %d bytes", (text, bytes) => {
    expect(load({ flags: { "min-free-space": text } }).config["min-free-space"]).toBe(bytes);
  });

  test("splits addresses into host and port, also for IPv6", () => {
    expect(splitAddress("127.0.0.1:80")).toEqual({ hostname: "127.0.0.1", port: 80 });
    expect(splitAddress("[::1]:80")).toEqual({ hostname: "::1", port: 80 });
  });

  test("has a variable and a help text for each setting", () => {
    for (const [name, setting] of Object.entries(SETTINGS)) {
      expect(environmentName(name)).toMatch(/^CONDARIUM_[A-Z0-9_]+$/);
      expect(setting.help.length).toBeGreaterThan(10);
    }
  });
});

describe("trusted-proxies", () => {
  test("takes addresses and networks", () => {
    const list = "127.0.0.1, 10.0.0.0/8,::1,fd00::/8,::ffff:192.0.2.0/120";
    expect(load({ flags: { "trusted-proxies": list } }).config["trusted-proxies"]).toEqual(list.split(/, ?/));
  });

  test.each(["10.0.0.0/33", "proxy.internal", "*", "127.0.0.1,fd00::/129"])(
    "refuses %s, which can match no address, with an example",
    (value) => {
      const sources = [
        { flags: { "trusted-proxies": value } },
        { environment: { CONDARIUM_TRUSTED_PROXIES: value } },
        { file: file(`trusted-proxies = ${JSON.stringify(value.split(","))}`) },
      ];
      for (const source of sources) {
        const message = "IP addresses and networks, separated by commas, for example 127.0.0.1,10.0.0.0/8,fd00::/8.";
        expect(() => load(source)).toThrow(message);
      }
    },
  );
});

describe("a setting that can have no effect", () => {
  test.each([
    ...[
      "conda.example.com",
      "ftp://conda.example.com",
      "https://",
      "https://conda.example.com?",
      "https://conda.example.com/?a=1",
      "https://conda.example.com/#",
      "https://user:secret@conda.example.com",
      "https://@conda.example.com",
      "https://conda.example.com/a b",
      "https://conda.example.com//registry",
      "https://conda.example.com/a/%2e%2fb",
      "https://conda.example.com/registry/t",
      "https://conda.example.com/-",
      ...["t", "api", "API", "get", "health/x", "metrics", "noarch", "x/linux-64"].map((path) => `https://h/${path}`),
    ].map((value) => ["public-url", value, "https://conda.example.com"] as const),
    ...["t", "foo bar", "", "api", "get", "noarch", "linux-64", "x.conda", "a/b", "-x", "*"].map(
      (value) => ["default-owner", value, "alice"] as const,
    ),
    ...["foo bar", "t", "Linux-64", "plan9", "linux-64,a/b", "plan9-64,*", "linux_64"].map(
      (value) => ["known-subdirs", value, "linux-sparc64,haiku-64"] as const,
    ),
  ])("is refused with an example: %s %j", (name, value, example) => {
    const refusal = new RegExp(`^--${name} must be .*, for example ${example}\\.$`);
    expect(() => load({ flags: { [name]: value } })).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringMatching(refusal) }),
    );
  });

  test("is refused too when two settings contradict each other", () => {
    const flags = { "public-url": "https://h/Registry/x", "default-owner": "registry" };
    expect(() => load({ flags })).toThrow(expect.objectContaining({ code: "usage" }));
    expect(() => load({ flags: { ...flags, "default-owner": "x" } })).not.toThrow();
  });

  test.each([
    ["public-url", "https://Conda.Example.com:443/", "https://conda.example.com"],
    ["public-url", "http://[::1]:8080", "http://[::1]:8080"],
    ["public-url", "https://h/registry//", "https://h/registry"],
    ["public-url", "https://h/conda/x-1.0_y~z", "https://h/conda/x-1.0_y~z"],
    ["default-owner", "Alice", "alice"],
    ["known-subdirs", "haiku-64, noarch", ["haiku-64", "noarch"]],
    ["known-subdirs", "", []],
  ] as const)("is accepted in its normal form otherwise: %s %j", (name, value, normal) => {
    expect(load({ flags: { [name]: value } }).config).toMatchObject({ [name]: normal });
  });
});
