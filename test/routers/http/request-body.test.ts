import { expect, test } from "bun:test";
import { createRequestBodies } from "../../../src/routers/http/request-body.ts";

const MIB = 1024 ** 2;
const URL = "http://localhost/upload";

type Source = { readonly request: Request; pulled(): number };

/** A body of `mib` chunks of 1 MiB; without a number it never ends. */
function upload(mib = Number.POSITIVE_INFINITY, onPull: () => void = () => {}): Source {
  let pulled = 0;
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    if (pulled >= mib) {
      controller.close();
      return;
    }
    pulled += 1;
    onPull();
    controller.enqueue(new Uint8Array(MIB));
  };
  const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
  return { request: new Request(URL, { method: "PUT", body }), pulled: () => pulled };
}

const refusal = (): Response => new Response("refused", { status: 401, headers: { "content-length": "7" } });
const bodiesAt = (now: () => number) => createRequestBodies({ now });

test("a refusal is sent before the rest of the body is read, and ends after it", async () => {
  const { request, pulled } = upload(10);
  const response = await bodiesAt(() => 0).refuse(request, refusal());
  expect([response.status, response.headers.get("connection"), response.headers.get("content-length")]).toEqual([
    401,
    "close",
    null,
  ]);
  const reader = response.body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("refused");
  expect(pulled()).toBe(0);
  expect((await reader?.read())?.done).toBe(true);
  expect(pulled()).toBe(10);
});

test("at most 64 MiB of a refused body are read, and nothing of them is kept", async () => {
  const { request, pulled } = upload();
  const response = await bodiesAt(() => 0).refuse(request, refusal());
  expect(await response.text()).toBe("refused");
  expect(pulled()).toBe(64);
});

test("a refused body is read for at most 30 seconds", async () => {
  let now = 0;
  const { request, pulled } = upload(undefined, () => (now += 10_000));
  const response = await bodiesAt(() => now).refuse(request, refusal());
  expect(await response.text()).toBe("refused");
  expect(pulled()).toBe(3);
});

test("a refused body that stalls, or fails, ends the response", async () => {
  const stalled = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) }, { highWaterMark: 0 });
  const failed = new ReadableStream<Uint8Array>(
    { pull: () => Promise.reject(new Error("gone")) },
    { highWaterMark: 0 },
  );
  const bodies = bodiesAt(() => 0);
  for (const body of [stalled, failed]) {
    const response = await bodies.refuse(new Request(URL, { method: "PUT", body }), refusal());
    expect(await response.text()).toBe("refused");
  }
});

test("of 33 refused bodies at a time the last is not read, and is read once another has ended", async () => {
  const bodies = bodiesAt(() => 0);
  const ends: (() => void)[] = [];
  const waiting = Array.from({ length: 32 }, async () => {
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> =>
      new Promise((resolve) => ends.push(() => (controller.close(), resolve())));
    const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
    return await (await bodies.refuse(new Request(URL, { method: "PUT", body }), refusal())).text();
  });
  while (ends.length < 32) await Bun.sleep(1);
  const unread = upload(5);
  expect(await (await bodies.refuse(unread.request, refusal())).text()).toBe("refused");
  expect(unread.pulled()).toBe(0);
  for (const end of ends) end();
  expect(await Promise.all(waiting)).toEqual(Array.from({ length: 32 }, () => "refused"));
  const read = upload(5);
  expect(await (await bodies.refuse(read.request, refusal())).text()).toBe("refused");
  expect(read.pulled()).toBe(5);
});

test("a body that was read to its end leaves the response and its connection alone", async () => {
  const bodies = bodiesAt(() => 0);
  const { request } = upload(2);
  for await (const chunk of bodies.of(request) ?? []) expect(chunk.byteLength).toBe(MIB);
  const response = refusal();
  expect(await bodies.refuse(request, response)).toBe(response);
  const bodiless = refusal();
  expect(await bodies.refuse(new Request(URL), bodiless)).toBe(bodiless);
});

test("the rest of a body that was read in part is dropped from where the reader left it", async () => {
  const bodies = bodiesAt(() => 0);
  const { request, pulled } = upload(8);
  for await (const _ of bodies.of(request) ?? []) if (pulled() === 3) break;
  expect(await (await bodies.refuse(request, refusal())).text()).toBe("refused");
  expect(pulled()).toBe(8);
});
