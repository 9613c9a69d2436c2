import { describe, expect, test } from "bun:test";
import { blobKey, checkKey, fileListKey, isBlobKey, isHash, shardKey } from "../../../src/modules/storage/keys.ts";

const HASH = `abcd${"0".repeat(60)}`;

describe("blob keys", () => {
  test("spread hashes over folders of their first digits", () => {
    expect(String(blobKey(HASH))).toBe(`blobs/ab/cd/${HASH}`);
    expect(String(fileListKey(HASH))).toBe(`files/ab/cd/${HASH}`);
    expect(String(shardKey(12, HASH))).toBe(`shards/12/${HASH}`);
  });

  test.each(["", "abc", HASH.toUpperCase(), `${HASH}0`, ` ${HASH.slice(1)}`, `${HASH}\n`, `../${HASH.slice(3)}`])(
    "are refused for the hash %j",
    (hash) => {
      for (const make of [blobKey, fileListKey, (text: string) => shardKey(1, text)]) {
        expect(() => make(hash)).toThrow("not a sha256");
      }
      expect(isHash(hash)).toBe(false);
    },
  );

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])("are refused for the channel %p", (channel) => {
    expect(() => shardKey(channel, HASH)).toThrow("not the number of a channel");
  });

  test("are distinguished from other texts", () => {
    expect(isHash(HASH)).toBe(true);
    expect(isBlobKey(blobKey(HASH))).toBe(true);
    expect(isBlobKey(`${blobKey(HASH)}\n`)).toBe(false);
    expect(isBlobKey(`x/${blobKey(HASH)}`)).toBe(false);
    expect(() => checkKey("../x")).toThrow("not a storage key");
  });
});
