// A set of 64-bit hashes in 16 to 32 bytes each: a JavaScript `Set` takes about twice as much.

export type HashSet = {
  has(hash: number): boolean;
  add(hash: number): void;
};

const FREE = 0;

/** A hash is a value of `Bun.hash` as a double, which keeps the upper 53 bits. */
export function createHashSet(): HashSet {
  let slots = new Float64Array(1024);
  let count = 0;
  /** The slot of the hash, or the free slot for it. */
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
      const old = slots;
      slots = new Float64Array(old.length * 2);
      for (const stored of old) if (stored !== FREE) slots[slotOf(stored)] = stored;
    },
  };
}
