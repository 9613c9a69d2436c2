// The private S3 server of the tests.

import { S3Client } from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasVersitygw, sharedVersitygw, startVersitygw, type Versitygw } from "./versitygw.ts";

describe.skipIf(!hasVersitygw("the private S3 server"))("the private S3 server", () => {
  let server: Versitygw;
  beforeAll(async () => {
    server = await startVersitygw();
  });
  afterAll(() => server.close());

  const clientOf = (bucket: string, secretKey = server.secretKey) =>
    new S3Client({
      endpoint: server.endpoint,
      region: server.region,
      accessKeyId: server.accessKey,
      secretAccessKey: secretKey,
      bucket,
      retry: 0,
    });

  test("keeps buckets apart, and lists what is in one", async () => {
    const [one, two] = [clientOf(await server.createBucket()), clientOf(await server.createBucket())];
    await one.write("a/b", "first");
    await two.write("c", "second");
    expect(await one.file("a/b").text()).toBe("first");
    expect((await one.list()).contents?.map(({ key }) => key)).toEqual(["a/b"]);
    expect((await two.list()).contents?.map(({ key }) => key)).toEqual(["c"]);
  });

  test("refuses a wrong secret key, and a bucket that is not there", async () => {
    const bucket = await server.createBucket();
    expect(clientOf(bucket, "wrong").write("a", "x")).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    expect(clientOf("b-missing").write("a", "x")).rejects.toMatchObject({ code: "NoSuchBucket" });
    expect(await clientOf(bucket).exists("a")).toBe(false);
  });

  test("has its objects after a stop and after SIGKILL, at the same address", async () => {
    const client = clientOf(await server.createBucket());
    for (const [stop, key] of [
      [server.stop, "one"],
      [server.kill, "two"],
    ] as const) {
      await client.write(key, key);
      await stop();
      expect(client.file(key).text()).rejects.toThrow();
      await server.start();
    }
    expect([await client.file("one").text(), await client.file("two").text()]).toEqual(["one", "two"]);
  });

  test("can be one for the whole process", async () => {
    const [one, two] = await Promise.all([sharedVersitygw(), sharedVersitygw()]);
    expect(one).toBe(two);
    expect(one.endpoint).not.toBe(server.endpoint);
  });

  test("keeps silent while it is frozen, and goes on after that", async () => {
    const client = clientOf(await server.createBucket());
    await client.write("a", "x");
    server.freeze();
    const answer = client.file("a").text();
    expect(await Promise.race([answer, Bun.sleep(300).then(() => "silence")])).toBe("silence");
    server.thaw();
    expect(await answer).toBe("x");
  });
});
