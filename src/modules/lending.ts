// Lends contents in memory to the responses that send them. Responses share one copy, which is evicted only when no
// response sends it any more, so slow clients cannot raise the memory above the budget.

export type Borrower = {
  /** Whether the response is still being sent. */
  isOpen(): boolean;
};

export type Lending = {
  /** Returns a content that is already in memory. */
  find(key: string, borrower: Borrower): Blob | undefined;
  /** Returns the content, read if missing; undefined when the contents in use leave no room for `bytes` more. */
  borrow(key: string, bytes: number, read: () => Promise<Blob>, borrower: Borrower): Promise<Blob> | undefined;
  /** The memory that all contents take. */
  readonly bytes: number;
};

/** The memory of an entry with its borrowers, without the content. */
const ENTRY_BYTES = 4 * 1024;
const BORROWERS_UNCHECKED = 4;
/** Entries in use that a search for an unused entry skips before it ends. */
const MAX_SKIPPED = 64;

type Entry = {
  readonly content: Promise<Blob>;
  /** Set once the content has been read. */
  blob?: Blob;
  readonly cost: number;
  /** In order of arrival; some are closed already. */
  borrowers: Borrower[];
  /** The number of borrowers above which closed ones are removed. */
  checkAbove: number;
};

export function createLending({ budget }: { readonly budget: number }): Lending {
  // A Map keeps the order of insertion, so its first entry is the least recently used one.
  const entries = new Map<string, Entry>();
  let bytes = 0;

  function makeRoom(wanted: number): boolean {
    let skips = MAX_SKIPPED;
    for (const [key, entry] of entries) {
      if (bytes + wanted <= budget || skips === 0) break;
      entries.delete(key);
      if (isInUse(entry)) {
        entries.set(key, entry);
        skips -= 1;
      } else {
        bytes -= entry.cost;
      }
    }
    return bytes + wanted <= budget;
  }

  function load(key: string, cost: number, read: () => Promise<Blob>): Entry {
    const entry: Entry = { content: read(), cost, borrowers: [], checkAbove: BORROWERS_UNCHECKED };
    bytes += cost;
    const fail = (): void => {
      if (entries.get(key) !== entry) return;
      entries.delete(key);
      bytes -= cost;
    };
    entry.content.then((blob) => (entry.blob = blob), fail);
    return entry;
  }

  function lend(key: string, entry: Entry, borrower: Borrower): void {
    entries.delete(key);
    entries.set(key, entry);
    entry.borrowers.push(borrower);
    if (entry.borrowers.length <= entry.checkAbove) return;
    entry.borrowers = entry.borrowers.filter((each) => each.isOpen());
    entry.checkAbove = Math.max(BORROWERS_UNCHECKED, 2 * entry.borrowers.length);
  }

  return {
    get bytes() {
      return bytes;
    },
    find: (key, borrower) => {
      const entry = entries.get(key);
      if (entry?.blob) lend(key, entry, borrower);
      return entry?.blob;
    },
    borrow: (key, size, read, borrower) => {
      const cost = size + ENTRY_BYTES;
      let entry = entries.get(key);
      if (!entry && !makeRoom(cost)) return undefined;
      entry ??= load(key, cost, read);
      lend(key, entry, borrower);
      return entry.content;
    },
  };
}

function isInUse({ borrowers }: Entry): boolean {
  while (borrowers.at(-1)?.isOpen() === false) borrowers.pop();
  return borrowers.length > 0;
}
