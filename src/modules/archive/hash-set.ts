// A set of 64-bit hashes, each in sixteen bytes at most: the engine's own takes several times as many.

export type HashSet = {
  has(hash: number): boolean;
  add(hash: number): void;
};

const FREE = 0;

/** A hash is a number of `Bun.hash` as a double, which keeps its upper 53 bits. */
export function createHashSet(): HashSet {
  let slots = new Float64Array(1024);
  let count = 0;
  /** Where the hash is, or the free slot that it belongs in. */
  const slotOf = (hash: number): number => {
    const last = slots.length - 1;
    let slot = Math.floor(hash / 2 ** 20) & last;
    while (slots[slot] !== FREE && slots[slot] !== hash) slot = (slot + 1) & last;
    return slot;
  };
  return {
    has: (hash) => slots[slotOf(hash)] === hash,
    add: (hash) => {
      const slot = slotOf(hash);
      if (slots[slot] === hash) return;
      slots[slot] = hash;
      count += 1;
      if (count * 2 <= slots.length) return;
      const before = slots;
      slots = new Float64Array(before.length * 2);
      for (const one of before) if (one !== FREE) slots[slotOf(one)] = one;
    },
  };
}
