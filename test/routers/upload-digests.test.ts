// The digests that an upload declares: a wrong one stores nothing, a malformed one is a bad request.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { noise } from "../support/noise.ts";
import { buildPackage } from "../support/package-builder.ts";

type Name = "md5" | "sha1" | "sha256" | "sha512";
const hash = (name: Name, bytes: Uint8Array, encoding: "hex" | "base64"): string =>
  new Bun.CryptoHasher(name).update(bytes).digest(encoding);

/** Each header, as the value for given bytes. */
const HEADERS: Readonly<Record<string, readonly [header: string, valueOf: (bytes: Uint8Array) => string]>> = {
  "X-Checksum-Sha256": ["x-checksum-sha256", (bytes) => hash("sha256", bytes, "hex")],
  "X-Checksum-Sha1": ["x-checksum-sha1", (bytes) => hash("sha1", bytes, "hex").toUpperCase()],
  "X-Checksum-Md5": ["x-checksum-md5", (bytes) => hash("md5", bytes, "hex")],
  "Content-MD5": ["content-md5", (bytes) => hash("md5", bytes, "base64")],
  "Digest with SHA-256": ["digest", (bytes) => `unixsum=1, SHA-256=${hash("sha256", bytes, "base64")}`],
  "Digest with MD5": ["digest", (bytes) => `MD5=${hash("md5", bytes, "base64")}`],
  "Digest with SHA": ["digest", (bytes) => `sha=${hash("sha1", bytes, "base64")}`],
  "Content-Digest with sha-256": ["content-digest", (bytes) => `sha-256=:${hash("sha256", bytes, "base64")}:`],
  "Content-Digest with sha-512": ["content-digest", (bytes) => `sha-512=:${hash("sha512", bytes, "base64")}:`],
  "Repr-Digest with sha-256": ["repr-digest", (bytes) => `x="a,b", sha-256=:${hash("sha256", bytes, "base64")}:`],
  "Repr-Digest with md5": ["repr-digest", (bytes) => `md5=:${hash("md5", bytes, "base64")}:`],
};
const MALFORMED: Readonly<Record<string, string>> = {
  "x-checksum-sha256": "abc",
  "x-checksum-sha1": "0".repeat(39),
  "x-checksum-md5": "g".repeat(32),
  "content-md5": "0".repeat(32),
  digest: "sha-256=abc",
  "content-digest": "sha-256=abc",
  "repr-digest": "sha-256",
};
const OF_FORM = ["content-md5", "digest", "content-digest", "repr-digest"];

let server: TestApp;
let alice: Actor;
beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  // Both channels exist before the first refusal.
  for (const make of Object.values(UPLOADS)) {
    const { path, bytes } = make();
    expect((await alice.put(path, bytes)).status).toBe(201);
  }
});
afterAll(() => server.close());

let count = 0;
/** An upload that no other test makes: a package for conda, and other bytes below 16 MiB or above for generic. */
const UPLOADS: Readonly<Record<string, () => { path: string; bytes: Uint8Array }>> = {
  "a package": () => {
    const { fileName, bytes } = buildPackage({ name: "pkg", version: `${(count += 1)}` });
    return { path: `/api/packages/alice/conda/main/${fileName}`, bytes };
  },
  "a generic file": () => ({ path: `/api/packages/alice/generic/some/${(count += 1)}/x.bin`, bytes: noise(1000) }),
};
const OTHER = new TextEncoder().encode("other bytes");

function formOf(bytes: Uint8Array): { body: Uint8Array; type: Record<string, string> } {
  const head = '--edge\r\nContent-Disposition: form-data; name="file"; filename="x.conda"\r\n\r\n';
  const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from("\r\n--edge--\r\n")]);
  return { body, type: { "content-type": "multipart/form-data; boundary=edge" } };
}

async function refusal(answer: Response): Promise<[number, string]> {
  return [answer.status, (await jsonOf<{ detail: string }>(answer)).detail];
}

describe.each(Object.keys(UPLOADS))("%s", (what) => {
  const upload = (): { path: string; bytes: Uint8Array } => UPLOADS[what]?.() ?? { path: "", bytes: OTHER };

  test.each(Object.keys(HEADERS))("is stored with its own %s, and refused with a wrong one", async (name) => {
    const [header, valueOf] = HEADERS[name] ?? ["", String];
    const { path, bytes } = upload();
    const before = await server.storedFiles();
    const [status, detail] = await refusal(await alice.put(path, bytes, { [header]: valueOf(OTHER) }));
    expect([status, detail]).toEqual([422, expect.stringContaining("but the request declared")]);
    expect(await server.storedFiles()).toEqual(before);
    expect((await alice.get(path.replace("/api/packages/alice/conda/main", "/alice/main/noarch"))).status).toBe(404);
    expect((await alice.put(path, bytes, { [header]: valueOf(bytes) })).status).toBe(201);
  });

  test.each(Object.keys(HEADERS))(
    "in a form is stored with the %s of the file, and refused with a wrong one",
    async (name) => {
      const [header, valueOf] = HEADERS[name] ?? ["", String];
      const { path, bytes } = upload();
      const { body, type } = formOf(bytes);
      const before = await server.storedFiles();
      const [status] = await refusal(await alice.put(path, body, { ...type, [header]: valueOf(OTHER) }));
      expect(status).toBe(422);
      expect(await server.storedFiles()).toEqual(before);
      expect((await alice.put(path, body, { ...type, [header]: valueOf(bytes) })).status).toBe(201);
    },
  );

  test.each(Object.keys(HEADERS))(
    "in a form with the %s of the form is stored if the header describes a body",
    async (name) => {
      const [header, valueOf] = HEADERS[name] ?? ["", String];
      const { path, bytes } = upload();
      const { body, type } = formOf(bytes);
      const { status } = await alice.put(path, body, { ...type, [header]: valueOf(body) });
      expect(status).toBe(OF_FORM.includes(header) ? 201 : 422);
    },
  );

  test.each(Object.keys(MALFORMED))("is a bad request with a malformed %s", async (header) => {
    const { path, bytes } = upload();
    const { body, type } = formOf(bytes);
    for (const [sent, headers] of [
      [bytes, {}],
      [body, type],
    ] as const) {
      const answer = await alice.put(path, sent, { ...headers, [header]: MALFORMED[header] ?? "" });
      expect(await refusal(answer)).toEqual([400, expect.stringContaining(`${header} must be`)]);
    }
    expect((await alice.put(path, bytes)).status).toBe(201);
  });

  test("is stored with algorithms that the server does not know", async () => {
    const { path, bytes } = upload();
    const headers = { digest: "unixcksum=1, crc32c=x", "content-digest": "sha3=:AA==:", "repr-digest": 'a="b,c"' };
    expect((await alice.put(path, bytes, headers)).status).toBe(201);
  });

  test("is refused when its headers contradict each other", async () => {
    const { path, bytes } = upload();
    const headers = {
      "x-checksum-md5": hash("md5", bytes, "hex"),
      "content-md5": hash("md5", OTHER, "base64"),
    };
    const [status, detail] = await refusal(await alice.put(path, bytes, headers));
    expect([status, detail]).toEqual([422, expect.stringContaining("two values of md5")]);
    const same = { ...headers, "content-md5": hash("md5", bytes, "base64") };
    expect((await alice.put(path, bytes, same)).status).toBe(201);
  });
});

test("a large file is compared with the hashes that only some clients declare", async () => {
  const bytes = noise(20 * 1024 ** 2);
  const path = "/api/packages/alice/generic/some/large/x.bin";
  for (const [header, name] of [
    ["x-checksum-sha1", "sha1"],
    ["content-digest", "sha512"],
  ] as const) {
    const valueOf = (of: Uint8Array): string =>
      name === "sha1" ? hash(name, of, "hex") : `sha-512=:${hash(name, of, "base64")}:`;
    expect((await alice.put(path, bytes, { [header]: valueOf(OTHER) })).status).toBe(422);
    expect((await alice.put(`${path}-${name}`, bytes, { [header]: valueOf(bytes) })).status).toBe(201);
  }
});
