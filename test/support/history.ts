// Random histories of a channel: publishes, deletes and yanks, and the contents of the channel afterwards.

import { expect } from "bun:test";
import type { Actor, TestApp } from "./app.ts";
import { buildPackage } from "./package-builder.ts";
import { setState } from "./state.ts";

export const SUBDIRS = ["noarch", "linux-64"];

/** Numbers in [0, 1). */
export type Random = () => number;

export type Held = {
  readonly subdir: string;
  readonly fileName: string;
  readonly name: string;
  /** Distinct for each publish. */
  readonly serial: number;
  readonly isYanked: boolean;
};

export type History = {
  readonly held: readonly Held[];
  /** Publishes one to four packages; some names are taken already. */
  publishSome(random: Random): Promise<void>;
  removeOne(random: Random): Promise<void>;
  /** Yanks a file, or undoes a yank. */
  yankOne(random: Random): Promise<void>;
};

export type HistoryOptions = {
  readonly server: TestApp;
  readonly user: Actor;
  readonly channel: string;
  /** Package names; `pkg-0` and so on by default. */
  readonly names?: readonly string[];
  /** Called after each change, before the next. */
  readonly onChange?: (held: readonly Held[]) => Promise<void>;
};

const NAMES = Array.from({ length: 40 }, (_, at) => `pkg-${at}`);

export function createHistory({ server, user, channel, names = NAMES, onChange }: HistoryOptions): History {
  const held: Held[] = [];
  let published = 0;

  async function publishOne(random: Random): Promise<void> {
    const { name, subdir, built } = packageOf(names, random);
    const path = `/api/packages/${user.name}/conda/${channel}/${subdir}/${built.fileName}`;
    const { status } = await user.put(path, built.bytes);
    expect([201, 409]).toContain(status);
    if (status !== 201) return;
    held.push({ subdir, fileName: built.fileName, name, serial: (published += 1), isYanked: false });
    await onChange?.([...held]);
  }

  return {
    held,
    publishSome: async (random) => {
      const count = 1 + below(random, 4);
      for (let at = 0; at < count; at++) await publishOne(random);
    },
    removeOne: async (random) => {
      const [gone] = held.splice(below(random, held.length), 1);
      if (!gone) return;
      expect((await user.delete(`/${user.name}/${channel}/${gone.subdir}/${gone.fileName}`)).status).toBe(204);
      await onChange?.([...held]);
    },
    yankOne: async (random) => {
      const at = below(random, held.length);
      const file = held[at];
      if (!file) return;
      const path = `${user.name}/${channel}/${file.subdir}/${file.fileName}`;
      await setState(server, path, file.isYanked ? "active" : "yanked");
      held[at] = { ...file, isYanked: !file.isYanked };
      await onChange?.([...held]);
    },
  };
}

function packageOf(
  names: readonly string[],
  random: Random,
): {
  readonly name: string;
  readonly subdir: string;
  readonly built: ReturnType<typeof buildPackage>;
} {
  const anyName = (): string => names[below(random, names.length)] ?? "";
  const name = anyName();
  const subdir = SUBDIRS[below(random, 2)] ?? "noarch";
  const built = buildPackage({
    name,
    subdir,
    version: `1.${below(random, 50)}`,
    build: `h${below(random, 3)}_0`,
    format: random() < 0.3 ? "tar.bz2" : "conda",
    ...(random() < 0.1 ? { schema_version: 3 } : {}),
    depends: [`${anyName()} >=1.${below(random, 9)}`],
    ...(random() < 0.2 ? { info: { "run_exports.json": { weak: [`${name} >=1`] } } } : {}),
  });
  return { name, subdir, built };
}

/** A whole number in [0, limit). */
export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/** A generator of numbers that are the same for the same seed. */
export function generator(seed: number): Random {
  let state = seed * 2654435761;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
