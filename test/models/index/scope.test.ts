// Rows of one scope are visible in no other channel, view, section or layout.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareScope, copyScopes } from "../../../src/models/index/copy.ts";
import { openDerived, type Derived } from "../../../src/models/index/db.ts";
import { PLAIN_VIEW, type IndexScope } from "../../../src/models/index/scope.ts";

const HERE: IndexScope = { channelId: 1, view: PLAIN_VIEW, section: "noarch", layout: "shards" };
const OTHERS: readonly IndexScope[] = [
  { ...HERE, channelId: 2 },
  { ...HERE, view: "testing" },
  { ...HERE, section: "linux-64" },
  { ...HERE, layout: "repodata" },
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-scope-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** One row of each kind. */
function fill(derived: Derived, scope: IndexScope): void {
  const row = { start: "", hash: "hash", size: 1, window: 1, blocks: Buffer.from("text") };
  derived.transact(() => {
    derived.setState(scope, { revision: 1, identity: "id", cursor: null, highWater: { revision: 1, identity: "id" } });
    derived.setEntry(scope, "name", Buffer.alloc(32, 7));
    derived.replaceSegments({ ...scope, group: "packages" }, { from: "", until: undefined }, [row]);
    derived.skip(scope, { packageName: "name", path: "noarch/name-1-0.conda", reason: "too long" });
  });
}

function kept(derived: Derived, scope: IndexScope): unknown[] {
  return [
    derived.state(scope)?.revision,
    derived.entries(scope).length,
    [...derived.eachEntry(scope)].length,
    derived.segments({ ...scope, group: "packages" }).length,
    derived.isSkipped(scope, "name"),
  ];
}

const ALL = [1, 1, 1, 1, true];
const NOTHING = [undefined, 0, 0, 0, false];

test.each(OTHERS)("rows of one scope are invisible in %j and are deleted alone", (other) => {
  const derived = openDerived(join(folder, `${JSON.stringify(other)}.db`), "codec");
  try {
    fill(derived, HERE);
    expect([kept(derived, HERE), kept(derived, other)]).toEqual([ALL, NOTHING]);
    fill(derived, other);
    derived.transact(() => derived.discard(HERE));
    expect([kept(derived, HERE), kept(derived, other)]).toEqual([NOTHING, ALL]);
    expect(derived.scopes()).toEqual([other]);
    expect(derived.entryEndingIn(other, Buffer.alloc(32, 7))).toMatchObject({
      view: other.view,
      section: other.section,
    });
  } finally {
    derived.close();
  }
});

test.each(OTHERS)("a copy takes the rows of its scope and leaves %j unchanged", (other) => {
  const [from, to] = ["from", "to"].map((name) => join(folder, `${name} ${JSON.stringify(other)}.db`)) as [
    string,
    string,
  ];
  const [source, target] = [openDerived(from, "codec"), openDerived(to, "codec")];
  try {
    fill(source, HERE);
    fill(source, other);
    copyScopes({ from, to }, [HERE]);
    expect([kept(target, HERE), kept(target, other)]).toEqual([ALL, NOTHING]);
    const same = { segments: 0, bzip2Blocks: 0, entries: 0, skipped: 0 };
    expect(compareScope(from, to, HERE)).toEqual(same);
    expect(compareScope(from, to, other)).toEqual({ segments: 1, bzip2Blocks: 0, entries: 1, skipped: 1 });
  } finally {
    source.close();
    target.close();
  }
});
