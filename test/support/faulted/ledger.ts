// What clients know about the files of a server that fails: what an answer told them, and what no answer told.

import type { BuiltPackage } from "../package-builder.ts";

export type Item = {
  readonly channel: string;
  readonly built: BuiltPackage;
  /** A package of the same name with other bytes, which must never be accepted in its place. */
  readonly impostor: BuiltPackage;
};

/** `unknown` after a change without an answer: it has happened completely, or not at all. */
export type Knowledge = "present" | "absent" | "unknown";

export type Ledger = {
  readonly items: readonly Item[];
  /** Channels that have had a file at some time. */
  readonly channels: ReadonlySet<string>;
  /** What contradicts an earlier answer, one sentence each. */
  readonly problems: string[];
  /** How often each answer was given: `publish 201`, `delete 503`, `publish broken`. */
  readonly answers: Map<string, number>;
  of(item: Item): Knowledge;
  /** What an answer or a document says about a file; it must agree with what is known. */
  learn(item: Item, found: "present" | "absent", from: string): void;
  /** An acknowledged change. */
  change(item: Item, to: Knowledge): void;
  count(what: string, answer: number | "broken"): void;
};

export function createLedger(items: readonly Item[]): Ledger {
  const known = new Map<Item, Knowledge>(items.map((item) => [item, "absent"]));
  const channels = new Set<string>();
  const problems: string[] = [];
  const answers = new Map<string, number>();
  const of = (item: Item): Knowledge => known.get(item) ?? "absent";
  const change = (item: Item, to: Knowledge): void => {
    known.set(item, to);
    if (to === "present") channels.add(item.channel);
  };
  return {
    items,
    channels,
    problems,
    answers,
    of,
    change,
    learn: (item, found, from) => {
      const before = of(item);
      if (before !== "unknown" && before !== found)
        problems.push(`${item.channel}/${item.built.fileName} is ${found} in ${from}, and must be ${before}`);
      change(item, found);
    },
    count: (what, answer) => {
      const key = `${what} ${answer}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
    },
  };
}
