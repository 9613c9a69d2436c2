// The cases of Gitea's own conda registry, with files as minimal as in its tests.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { Zip, ZipDeflate } from "fflate";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { bzip2, tar, zstd } from "../support/package-builder.ts";

const ROOT = "/api/packages/user2/conda";
const NAME = "test_package";
const VERSION = "1.0.1";
const STEM = `${NAME}-${VERSION}-xxx`;
const INDEX = JSON.stringify({ name: NAME, version: VERSION, subdir: "noarch", build: "xxx" });
const TAR = tar([{ path: "info/index.json", data: INDEX }]);

let server: TestApp;
let user: Actor;

beforeAll(async () => {
  server = await startTestApp();
  user = await server.addUser("user2");
});
afterAll(() => server.close());

const forms = [
  { format: "tar.bz2", bytes: bzip2(TAR), key: "packages" },
  { format: "conda", bytes: deflatedZip("info-x.tar.zst", zstd(TAR)), key: "packages.conda" },
] as const;

for (const { format, bytes, key } of forms) {
  for (const channel of ["", "/test-channel"]) {
    test(`Gitea's form uploads, refuses a second time, downloads and lists a bare .${format} in ${channel === "" ? "no channel" : channel}`, async () => {
      const upload = `${ROOT}${channel}/${NAME}-${VERSION}.${format}`;
      expect((await server.anonymous.put(upload, bytes)).status).toBe(401);
      const created = await user.put(upload, bytes);
      expect([created.status, await created.text()]).toEqual([201, expect.stringContaining(STEM)]);
      expect((await user.put(upload, bytes)).status).toBe(409);

      const download = await server.anonymous.get(`${ROOT}${channel}/noarch/${STEM}.${format}`);
      expect(download.status).toBe(200);
      expect(await bytesOf(download)).toEqual(Buffer.from(bytes));

      const listed = await server.anonymous.get(`${ROOT}${channel}/noarch/repodata.json`);
      expect(listed.headers.get("content-type")).toBe("application/json");
      const repodata: Record<string, Record<string, unknown>> = await jsonOf(listed);
      expect(repodata.info).toEqual({ subdir: "noarch" });
      expect(repodata[key]?.[`${STEM}.${format}`]).toMatchObject({
        name: NAME,
        version: VERSION,
        build: "xxx",
        build_number: 0,
        depends: [],
        subdir: "noarch",
        size: bytes.length,
      });
    });
  }
}

test("Gitea's form responds with 404 for a missing file", async () => {
  expect((await server.anonymous.get(`${ROOT}/noarch/${STEM}-9.conda`)).status).toBe(404);
});

test("Gitea's form responds with 400 for a file that is no package", async () => {
  expect((await user.put(`${ROOT}/${NAME}-2.0.conda`, new TextEncoder().encode("dummy"))).status).toBe(400);
});

/** As Go's writer produces it: deflated, with the sizes behind the data. */
function deflatedZip(name: string, content: Uint8Array): Uint8Array {
  const chunks: Uint8Array[] = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(chunk);
  });
  const member = new ZipDeflate(name);
  zip.add(member);
  member.push(content, true);
  zip.end();
  return Buffer.concat(chunks);
}
