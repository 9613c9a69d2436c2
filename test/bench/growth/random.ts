// Pseudorandom numbers that are the same each time.

export type Random = {
  below(limit: number): number;
  pick<T>(items: readonly T[]): T;
  hex(digits: number): string;
  /** Shuffles in place. */
  shuffle(items: Uint32Array): Uint32Array;
};

export function createRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number): number => next() % limit;
  return {
    below,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new Error("there is nothing to pick from");
      return item;
    },
    hex: (digits) => {
      let text = "";
      while (text.length < digits) text += next().toString(16).padStart(8, "0");
      return text.slice(0, digits);
    },
    shuffle: (items) => {
      for (let last = items.length - 1; last > 0; last -= 1) {
        const other = below(last + 1);
        const item = items[last] ?? 0;
        items[last] = items[other] ?? 0;
        items[other] = item;
      }
      return items;
    },
  };
}
