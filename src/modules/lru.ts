// A bounded map that evicts expired entries, and the least recently used ones when it is full.
// Hand-written: lru-cache allocates memory for its maximum number of entries at once, and refuses values of size 0.

export type Lru<K, V> = {
  /** Counts as a use. */
  get(key: K): V | undefined;
  /** Does not store a value larger than `maxBytes`. */
  set(key: K, value: V): void;
  delete(key: K): void;
  clear(): void;
  readonly size: number;
  readonly bytes: number;
};

export type LruOptions<V> = {
  readonly maxEntries: number;
  /** Limit of the sum of all `sizeOf()` results. */
  readonly maxBytes?: number;
  readonly sizeOf?: (value: V) => number;
  /** An entry expires this long after `set()`, whether it is used or not. */
  readonly ttlMs?: number;
  readonly now?: () => number;
};

type Entry<V> = { readonly value: V; readonly bytes: number; readonly until: number };

export function createLru<K, V>(options: LruOptions<V>): Lru<K, V> {
  const { maxEntries, maxBytes = Number.POSITIVE_INFINITY, ttlMs = Number.POSITIVE_INFINITY } = options;
  const sizeOf = options.sizeOf ?? (() => 0);
  const now = options.now ?? (() => 0);
  // A Map keeps the order of insertion, so its first entry is the least recently used one.
  const entries = new Map<K, Entry<V>>();
  let bytes = 0;

  function drop(key: K): Entry<V> | undefined {
    const entry = entries.get(key);
    if (!entry) return undefined;
    entries.delete(key);
    bytes -= entry.bytes;
    return entry;
  }

  function insert(key: K, entry: Entry<V>): void {
    entries.set(key, entry);
    bytes += entry.bytes;
  }

  return {
    get size() {
      return entries.size;
    },
    get bytes() {
      return bytes;
    },
    get: (key) => {
      const entry = drop(key);
      if (!entry || now() >= entry.until) return undefined;
      insert(key, entry);
      return entry.value;
    },
    set: (key, value) => {
      drop(key);
      const size = sizeOf(value);
      if (size > maxBytes) return;
      insert(key, { value, bytes: size, until: now() + ttlMs });
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries && bytes <= maxBytes) break;
        drop(oldest);
      }
    },
    delete: (key) => void drop(key),
    clear: () => {
      entries.clear();
      bytes = 0;
    },
  };
}
