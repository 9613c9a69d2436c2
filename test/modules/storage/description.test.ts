import { describe, expect, test } from "bun:test";
import { parseStorage, storageUrl } from "../../../src/modules/storage/description.ts";
import { named } from "../../support/case-name.ts";

const BASE = {
  kind: "s3",
  bucket: "my-bucket",
  prefix: "",
  endpoint: undefined,
  region: "us-east-1",
  pathStyle: false,
};

describe("the URL of a storage", () => {
  test.each([
    ["folder", { kind: "folder" }],
    ["s3://my-bucket", BASE],
    ["s3://my-bucket/", BASE],
    ["s3://my-bucket/a/b/", { ...BASE, prefix: "a/b/" }],
    [
      "s3://my-bucket/a?endpoint=http://127.0.0.1:7171&region=eu-1&path-style=true",
      { ...BASE, prefix: "a/", endpoint: "http://127.0.0.1:7171", region: "eu-1", pathStyle: true },
    ],
  ])("%s is understood, and written in a form with the same meaning", (text, location) => {
    const parsed = parseStorage(text);
    expect(parsed).toEqual(location as never);
    expect(parsed && parseStorage(storageUrl(parsed))).toEqual(location as never);
  });

  test.each(
    named([
      "",
      "folders",
      "/var/lib/packages",
      "https://s3.example.com/my-bucket",
      "s3://",
      "s3://my-bucket:80/x",
      "s3://user:password@my-bucket/x",
      "s3://my-bucket/x#y",
      "s3://My-Bucket/x",
      "s3://b/x",
      "s3://my-bucket/a//b",
      "s3://my-bucket/a/%2e%2e/b",
      "s3://my-bucket/a b",
      "s3://my-bucket/x?region=a&secret=b",
      "s3://my-bucket/x?region=a&region=b",
      "s3://my-bucket/x?region=",
      "s3://my-bucket/x?path-style=yes",
      "s3://my-bucket/x?endpoint=s3.example.com",
      "s3://my-bucket/x?endpoint=https://user:password@s3.example.com",
      "s3://my-bucket/x?endpoint=https://s3.example.com/path",
      "s3://my-bucket/x?endpoint=ftp://s3.example.com",
    ]),
  )("%s is refused", (_, text) => {
    expect(parseStorage(text)).toBeUndefined();
  });
});
