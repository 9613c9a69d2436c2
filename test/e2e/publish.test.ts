import { describe, expect, test } from "bun:test";

import { z } from "zod";

import { curl, haveClients, python } from "./clients.ts";
import { useScene } from "./scene.ts";

const problem = z.object({ title: z.string(), status: z.number(), detail: z.string() });

describe.skipIf(!(await haveClients()))("publishing packages built by rattler-build", () => {
  const scene = useScene();

  test.each(["conda", "tar.bz2"] as const)(
    "works once for a .%s with curl --upload-file, which gets 409 the second time",
    async (format) => {
      for (const one of scene().packages.all.filter((each) => each.format === format)) {
        const answer = await scene().put("main", one);
        expect(answer.status).toBe(201);
        const bytes = await Bun.file(one.path).bytes();
        const hash = (algorithm: "sha256" | "md5"): string =>
          new Bun.CryptoHasher(algorithm).update(bytes).digest("hex");
        const body: unknown = JSON.parse(answer.body);
        expect(body).toMatchObject({
          channel: "alice/main",
          name: one.name,
          version: one.version,
          build: one.build,
          subdir: one.subdir,
          filename: one.fileName,
          size: bytes.length,
          sha256: hash("sha256"),
          md5: hash("md5"),
          findings: [],
        });
        const { url } = z.object({ url: z.string() }).parse(body);
        const download = await fetch(url);
        expect(download.status).toBe(200);
        expect(Buffer.from(await download.arrayBuffer()).equals(bytes)).toBe(true);

        const again = await scene().put("main", one);
        expect(again.status).toBe(409);
        expect(problem.parse(JSON.parse(again.body)).status).toBe(409);
      }
    },
  );

  test("works with curl --form", async () => {
    const one = scene().packages.find("greeter");
    const url = `${scene().server.url}/api/packages/alice/conda/form/${one.fileName}`;
    const credentials = ["--header", `Authorization: Bearer ${scene().alice.token}`];
    const answer = await curl(...credentials, "--request", "PUT", "--form", `file=@${one.path}`, url);
    expect(answer.status).toBe(201);
    expect(await files("form", "noarch")).toEqual([one.fileName]);
  });

  test("works for generic files with curl: publish, read, resume and delete", async () => {
    const one = scene().packages.find("greeter");
    const bytes = await Bun.file(one.path).bytes();
    const credentials = ["--header", `Authorization: Bearer ${scene().alice.token}`];
    const version = `${scene().server.url}/api/packages/alice/generic/tool/1.0`;
    const url = `${version}/any%20file.bin`;
    const statuses: number[] = [];
    for (const _ of [1, 2]) statuses.push((await curl(...credentials, "--upload-file", one.path, url)).status);
    expect(statuses).toEqual([201, 409]);
    expect(await (await fetch(url)).bytes()).toEqual(bytes);
    const part = await curl("--range", "2-9", url);
    expect(part.status).toBe(206);
    expect((await curl("--head", url)).status).toBe(200);
    expect((await curl(...credentials, "--request", "DELETE", version)).status).toBe(403);
    const { name, password } = scene().alice;
    expect((await curl("--user", `${name}:${password}`, "--request", "DELETE", version)).status).toBe(204);
    expect((await fetch(url)).status).toBe(404);
  });

  test("works for both formats with rattler-build's Artifactory client, which sends chunks without a content type", async () => {
    const both = (["conda", "tar.bz2"] as const).map((format) => scene().packages.find("weather-lib", format));
    const url = `${scene().server.url}/api/packages/alice/conda`;
    const paths = both.map(({ path }) => path);
    await python(
      "upload_artifactory.py",
      [url, "artifacts", scene().alice.token, ...paths],
      z.object({ uploaded: z.literal(2) }),
    );
    expect(await files("artifacts", "linux-64")).toEqual(both.map(({ fileName }) => fileName).sort());
    expect(await files("artifacts", "noarch")).toEqual([]);
  });

  test("refuses a stranger, another user and a read-only token", async () => {
    await scene().publish("guarded", scene().packages.find("greeter"));
    const bob = await scene().server.createUser("bob");
    const readOnly = await scene().server.createToken("alice", "read:package");
    const one = scene().packages.find("weather-data");
    expect((await scene().put("guarded", one, [])).status).toBe(401);
    expect((await scene().put("guarded", one, ["--user", "alice:a wrong password"])).status).toBe(401);
    expect((await scene().put("guarded", one, ["--user", `bob:${bob.password}`])).status).toBe(403);
    expect((await scene().put("guarded", one, ["--header", `Authorization: Bearer ${readOnly}`])).status).toBe(403);
    expect(await files("guarded", "noarch")).toEqual([scene().packages.find("greeter").fileName]);
  });

  test("refuses a file that is no package with the reason, and lists nothing", async () => {
    const one = scene().packages.find("weather-data");
    const broken = { ...one, path: import.meta.path };
    const answer = await scene().put("broken", broken);
    expect(answer.status).toBe(400);
    expect(problem.parse(JSON.parse(answer.body)).detail).not.toBe("");
    const repodata = await fetch(`${scene().channel("broken")}/noarch/repodata.json`);
    expect(repodata.status).not.toBe(200);
  });

  async function files(channel: string, subdir: string): Promise<string[]> {
    const answer = await fetch(`${scene().channel(channel)}/${subdir}/repodata.json`);
    expect(answer.status).toBe(200);
    const maps = z
      .object({ packages: z.looseObject({}), "packages.conda": z.looseObject({}) })
      .parse(await answer.json());
    return [...Object.keys(maps.packages), ...Object.keys(maps["packages.conda"])].sort();
  }
});
