// Segments that follow changes equal those of a full build, wherever the boundaries are.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDerived } from "../../../../src/models/index/db.ts";
import { rewriteSegments } from "../../../../src/services/index/segments/rewrite.ts";
import { BOUNDARY_RULE, FIRST, keyOf, type Entry } from "../../../../src/services/index/segments/chunking.ts";
import { cutAll } from "../../../support/cut-all.ts";
import { below, generator, type Random } from "../../../support/history.ts";
import { storedSegments } from "../../../support/stored-segments.ts";

setDefaultTimeout(60_000);

const PLACE = { channelId: 1, view: "main", section: "noarch", layout: "repodata", group: "packages.conda" };
const KEYS = { fileOf: (key: string) => ({ packageName: key.slice(0, key.indexOf("-")), fileName: key }) };
const NAMES = Array.from({ length: 60 }, (_, at) => `n${at * 7}`).sort();

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-rewrite-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type Channel = Map<string, Map<string, Entry>>;

/** Long enough that most segments end at the minimum size, some before, and a few at the maximum. */
function anyEntry(packageName: string, random: Random): Entry {
  const fileName = `${packageName}-1.${below(random, 40)}-0.conda`;
  const length = random() < 0.05 ? 90_000 : 4000 + below(random, 9000);
  return { packageName, fileName, text: `"${fileName}":{"x":"${String(below(random, 1e6)).repeat(length / 6)}"}` };
}

function changeOne(channel: Channel, random: Random): string {
  const name = NAMES[below(random, NAMES.length)] ?? "";
  const files = channel.get(name) ?? new Map<string, Entry>();
  channel.set(name, files);
  const kind = random();
  if (kind < 0.02) files.clear();
  else if (kind < 0.2) files.delete([...files.keys()][below(random, files.size)] ?? "");
  else {
    const entry = anyEntry(name, random);
    files.set(entry.fileName, entry);
  }
  return name;
}

function entriesOf(channel: Channel, name: string): Entry[] {
  return [...(channel.get(name)?.values() ?? [])].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

test.each([1, 2, 3, 4])("rewritten segments equal freshly built ones after any changes (seed %i)", (seed) => {
  const derived = openDerived(join(folder, `${seed}.db`), "codec");
  const random = generator(seed);
  const channel: Channel = new Map();
  let full = 0;
  for (let step = 0; step < 40; step += 1) {
    const some = step === 0 ? 500 : 1 + below(random, 1 + below(random, 12));
    const names = new Set(Array.from({ length: some }, () => changeOne(channel, random)));
    const changes = [...names].sort().map((name) => ({ name, entries: entriesOf(channel, name) }));
    rewriteSegments(derived, PLACE, KEYS, changes);
    const all = NAMES.flatMap((name) => entriesOf(channel, name));
    const expected = [...cutAll(FIRST, all)];
    expect(storedSegments(derived, PLACE)).toEqual(expected);
    full += expected.filter(({ text }) => text.length >= BOUNDARY_RULE.enough).length;
  }
  expect(full).toBeGreaterThan(40);
  derived.close();
});

test("a rewrite keeps all segments after the next unchanged boundary", () => {
  const derived = openDerived(join(folder, "few.db"), "codec");
  const random = generator(9);
  const channel: Channel = new Map();
  for (let time = 0; time < 1500; time += 1) changeOne(channel, random);
  const changesOf = (names: readonly string[]) => names.map((name) => ({ name, entries: entriesOf(channel, name) }));
  rewriteSegments(derived, PLACE, KEYS, changesOf(NAMES));
  const before = new Set(derived.segments(PLACE).map(({ id }) => id));
  const first = NAMES[0] ?? "";
  channel.get(first)?.clear();
  rewriteSegments(derived, PLACE, KEYS, changesOf([first]));
  const kept = derived.segments(PLACE).filter(({ id }) => before.has(id));
  expect(before.size).toBeGreaterThan(20);
  expect(kept.length).toBeGreaterThan(before.size / 2);
  derived.close();
});
