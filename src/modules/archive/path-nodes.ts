// Kind and size of each path of a package, in compact tables: an object and a string per path take ten times as much.

export type Kind = "file" | "directory" | "symlink" | "hardlink" | "implied";
export type PathNode = { readonly kind: Kind; readonly size: number };

export type PathNodes = {
  get(path: string): PathNode | undefined;
  has(path: string): boolean;
  set(path: string, node: PathNode): void;
  /** Marks a stored path; returns whether it was marked before. */
  mark(path: string): "first" | "again" | "unknown";
  /** Yields the unmarked paths in the order in which they were first set. */
  unmarked(): Generator<readonly [path: string, node: PathNode], void, undefined>;
  readonly size: number;
};

const KINDS: readonly Kind[] = ["file", "directory", "symlink", "hardlink", "implied"];
const KIND_BITS = 7;
const MARK = 8;
const FREE = -1;
/** Free bytes for the next path in UTF-8, more than any stored path has; the lookup of a longer path reserves more. */
const ROOM = 16 * 1024;

/** `text` holds the bytes of all paths, one path after another; `slots` is a hash table of the paths' numbers. */
type Store = {
  text: Buffer;
  filled: number;
  count: number;
  starts: Uint32Array;
  hashes: Uint32Array;
  sizes: Float64Array;
  kinds: Uint8Array;
  slots: Int32Array;
  /** Random, so that nobody can craft paths that all fall into one slot. */
  readonly seed: number;
};

export function createPathNodes(): PathNodes {
  const store: Store = {
    text: Buffer.allocUnsafe(4 * ROOM),
    filled: 0,
    count: 0,
    starts: new Uint32Array(1024),
    hashes: new Uint32Array(1024),
    sizes: new Float64Array(1024),
    kinds: new Uint8Array(1024),
    slots: new Int32Array(2048).fill(FREE),
    seed: crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
  };
  const find = (path: string): number | undefined => {
    const { node } = locate(store, path);
    return node === FREE ? undefined : node;
  };
  return {
    get: (path) => {
      const node = find(path);
      return node === undefined ? undefined : nodeAt(store, node);
    },
    has: (path) => find(path) !== undefined,
    set: (path, { kind, size }) => {
      const position = locate(store, path);
      const node = position.node === FREE ? add(store, position) : position.node;
      store.kinds[node] = KINDS.indexOf(kind);
      store.sizes[node] = size;
    },
    mark: (path) => {
      const node = find(path);
      if (node === undefined) return "unknown";
      const bits = store.kinds[node] ?? 0;
      store.kinds[node] = bits | MARK;
      return (bits & MARK) === 0 ? "first" : "again";
    },
    *unmarked() {
      for (let node = 0; node < store.count; node += 1) {
        if (((store.kinds[node] ?? 0) & MARK) !== 0) continue;
        const end = node + 1 < store.count ? store.starts[node + 1] : store.filled;
        yield [store.text.toString("utf8", store.starts[node], end), nodeAt(store, node)];
      }
    },
    get size() {
      return store.count;
    },
  };
}

function nodeAt(store: Store, node: number): PathNode {
  const kind = KINDS[(store.kinds[node] ?? 0) & KIND_BITS] ?? "file";
  return { kind, size: store.sizes[node] ?? 0 };
}

/** The slot of a path; the path's bytes follow the filled bytes. `node` is `FREE` when the path is not stored. */
type Position = { readonly node: number; readonly slot: number; readonly hash: number; readonly length: number };

function locate(store: Store, path: string): Position {
  const needed = store.filled + Math.max(ROOM, path.length * 3);
  if (needed > store.text.length) {
    const grown = Buffer.allocUnsafe(Math.max(needed, Math.ceil(store.text.length * 1.5)));
    store.text.copy(grown, 0, 0, store.filled);
    store.text = grown;
  }
  const { text, filled, slots, hashes, starts } = store;
  const length = text.write(path, filled);
  const hash = Bun.hash.xxHash32(text.subarray(filled, filled + length), store.seed);
  const last = slots.length - 1;
  for (let slot = hash & last; ; slot = (slot + 1) & last) {
    const node = slots[slot] ?? FREE;
    if (node === FREE) return { node, slot, hash, length };
    if (hashes[node] !== hash) continue;
    const start = starts[node] ?? 0;
    const end = node + 1 < store.count ? (starts[node + 1] ?? 0) : filled;
    if (text.compare(text, start, end, filled, filled + length) === 0) return { node, slot, hash, length };
  }
}

/** Adds the path that the latest `locate()` looked for. */
function add(store: Store, { slot, hash, length }: Position): number {
  const node = store.count;
  if (node === store.starts.length) {
    store.starts = copied(store.starts, new Uint32Array(node * 2));
    store.hashes = copied(store.hashes, new Uint32Array(node * 2));
    store.sizes = copied(store.sizes, new Float64Array(node * 2));
    store.kinds = copied(store.kinds, new Uint8Array(node * 2));
  }
  store.starts[node] = store.filled;
  store.hashes[node] = hash;
  store.slots[slot] = node;
  store.filled += length;
  store.count += 1;
  if (store.count * 2 > store.slots.length) rehash(store);
  return node;
}

function copied<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from);
  return to;
}

function rehash(store: Store): void {
  const slots = new Int32Array(store.slots.length * 2).fill(FREE);
  const last = slots.length - 1;
  for (let node = 0; node < store.count; node += 1) {
    let slot = (store.hashes[node] ?? 0) & last;
    while (slots[slot] !== FREE) slot = (slot + 1) & last;
    slots[slot] = node;
  }
  store.slots = slots;
}
