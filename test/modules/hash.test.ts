import { describe, expect, test } from "bun:test";
import { createFileHash, equalHex, sha256Hex } from "../../src/modules/hash.ts";

const ABC = {
  sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  md5: "900150983cd24fb0d6963f7d28e17f72",
};

describe("hashes", () => {
  test("equal the standards' test vectors, however the bytes are split", () => {
    for (const parts of [["abc"], ["a", "", "bc"]]) {
      const hash = createFileHash();
      for (const part of parts) hash.update(Buffer.from(part));
      expect(hash.digest()).toEqual(ABC);
    }
    expect(createFileHash().digest()).toEqual({
      sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      md5: "d41d8cd98f00b204e9800998ecf8427e",
    });
    expect(sha256Hex("abc")).toBe(ABC.sha256);
    expect(sha256Hex(Buffer.from("xabcx").subarray(1, 4))).toBe(ABC.sha256);
  });

  test("compare in either case and never throw", () => {
    expect(equalHex(ABC.sha256, ABC.sha256.toUpperCase())).toBe(true);
    expect(equalHex(ABC.sha256, `${ABC.sha256.slice(0, -1)}e`)).toBe(false);
    expect(equalHex(ABC.sha256, ABC.md5)).toBe(false);
    expect(equalHex("", ABC.md5)).toBe(false);
    expect(equalHex("ä", "aa")).toBe(false);
  });
});
