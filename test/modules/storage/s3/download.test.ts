// The stream of a download, over bodies that end, fail or are given up in ways that a connection seldom shows.

import { describe, expect, test } from "bun:test";
import { Readable } from "node:stream";
import { downloadOf, readAll, type Body } from "../../../../src/modules/storage/s3/download.ts";
import { errorOf } from "../../error-of.ts";

type Counted = Body & { readonly released: () => number };

function bodyOf(...chunks: readonly string[]): Counted {
  const content = Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );
  let released = 0;
  const release = (): void => {
    released += 1;
    content.destroy();
  };
  return { content, release, released: () => released };
}

const never = (): Promise<Body> => Promise.reject(new Error("nobody asked for more"));

describe("a download", () => {
  test("goes on at the right byte after a body that ends early without an error", async () => {
    const asked: number[] = [];
    const first = bodyOf("012", "34");
    const stream = downloadOf({
      first,
      start: 0,
      end: 10,
      isWanted: () => false,
      reopen: (at) => {
        asked.push(at);
        return Promise.resolve(bodyOf("0123456789".slice(at)));
      },
    });
    expect(await new Response(stream).text()).toBe("0123456789");
    expect([asked, first.released()]).toEqual([[5], 1]);
  });

  test("fails when every body ends early, and when a body has too many bytes", async () => {
    const shorts = downloadOf({
      first: bodyOf("0"),
      start: 0,
      end: 10,
      isWanted: () => false,
      reopen: () => Promise.resolve(bodyOf("1")),
    });
    expect((await errorOf(new Response(shorts).text())).message).toContain("of 10 bytes");
    const long = downloadOf({
      first: bodyOf("0123456789!"),
      start: 0,
      end: 10,
      isWanted: () => false,
      reopen: () => Promise.resolve(bodyOf("0123456789!")),
    });
    expect((await errorOf(new Response(long).text())).message).toContain("more than 10 bytes");
  });

  test("releases its body at once when it is cancelled, and when it has ended", async () => {
    const cancelled = bodyOf("01", "23");
    const reader = downloadOf({ first: cancelled, start: 0, end: 4, isWanted: () => false, reopen: never }).getReader();
    await reader.read();
    expect(cancelled.released()).toBe(0);
    await reader.cancel();
    expect(cancelled.released()).toBe(1);
    const ended = bodyOf("0123");
    await new Response(
      downloadOf({ first: ended, start: 0, end: 4, isWanted: () => false, reopen: never }),
    ).arrayBuffer();
    expect(ended.released()).toBe(1);
  });
});

describe("content that is read at once", () => {
  test.each([
    ["too short", "012"],
    ["too long", "01234"],
    ["empty", ""],
  ])("is refused when it is %s, and its body released", async (_, text) => {
    const body = bodyOf(...(text === "" ? [] : [text]));
    expect((await errorOf(readAll(body, 4))).message).toContain("4 bytes");
    expect(body.released()).toBe(1);
  });

  test("is complete, in order", async () => {
    expect(Buffer.from(await readAll(bodyOf("01", "2", "3"), 4)).toString()).toBe("0123");
  });
});
