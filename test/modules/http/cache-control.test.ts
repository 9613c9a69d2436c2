import { expect, test } from "bun:test";
import { documentCaching, packageCaching, shardCaching } from "../../../src/modules/http/cache-control.ts";

const [everyone, few] = [{ isPublic: true }, { isPublic: false }];
const FOREVER = "max-age=31536000, immutable";

test.each([
  ["a document", documentCaching({ ...everyone, maxAge: 0 }), "public, max-age=0, must-revalidate"],
  [
    "a document of a channel with a max-age",
    documentCaching({ ...everyone, maxAge: 60 }),
    "public, max-age=60, must-revalidate",
  ],
  [
    "a private document, whatever the channel's max-age,",
    documentCaching({ ...few, maxAge: 60 }),
    "private, max-age=0",
  ],
  ["a shard", shardCaching(everyone), `public, ${FOREVER}`],
  ["a private shard", shardCaching(few), `private, ${FOREVER}`],
  ["a package whose name is immutable", packageCaching({ ...everyone, immutable: true }), `public, ${FOREVER}`],
  ["a private package whose name is immutable", packageCaching({ ...few, immutable: true }), `private, ${FOREVER}`],
  ["a package that can be replaced", packageCaching({ ...everyone, immutable: false }), "public, no-cache"],
  ["a private package that can be replaced", packageCaching({ ...few, immutable: false }), "private, max-age=0"],
])("%s is cached only by the caches that are allowed to store it", (_, headers, expected) => {
  expect([...headers]).toEqual([["cache-control", expected]]);
});
