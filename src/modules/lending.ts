// Contents in memory that are lent to those who send them: read once for all who want the same, and given up only when
// nobody sends them any more, so that their sum has a bound whoever is slow.

export type Borrower = {
  /** Whether it is still being sent. */
  isOpen(): boolean;
};

export type Lending = {
  /** What is in memory already. */
  find(key: string, borrower: Borrower): Blob | undefined;
  /** The same, read when it is not there; undefined when what is in use leaves no room for so many bytes. */
  borrow(key: string, bytes: number, read: () => Promise<Blob>, borrower: Borrower): Promise<Blob> | undefined;
  /** Taken by all there is. */
  readonly bytes: number;
};

/** An entry and the borrowers that it remembers. */
const ENTRY_BYTES = 4 * 1024;
const BORROWERS_UNCOUNTED = 4;
/** Entries in use that are passed over in the search for one that is not. */
const LOOKS = 64;

type Entry = {
  readonly content: Promise<Blob>;
  /** Once it has been read. */
  blob?: Blob;
  readonly cost: number;
  /** In the order of their coming; some have ended. */
  borrowers: Borrower[];
  countAt: number;
};

export function createLending({ budget }: { readonly budget: number }): Lending {
  // A Map keeps the order of insertion: the first entry is the one unused for longest.
  const entries = new Map<string, Entry>();
  let bytes = 0;

  function makeRoom(wanted: number): boolean {
    let looks = LOOKS;
    for (const [key, entry] of entries) {
      if (bytes + wanted <= budget || looks === 0) break;
      entries.delete(key);
      if (isInUse(entry)) {
        entries.set(key, entry);
        looks -= 1;
      } else {
        bytes -= entry.cost;
      }
    }
    return bytes + wanted <= budget;
  }

  function load(key: string, cost: number, read: () => Promise<Blob>): Entry {
    const entry: Entry = { content: read(), cost, borrowers: [], countAt: BORROWERS_UNCOUNTED };
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
    if (entry.borrowers.length <= entry.countAt) return;
    entry.borrowers = entry.borrowers.filter((each) => each.isOpen());
    entry.countAt = Math.max(BORROWERS_UNCOUNTED, 2 * entry.borrowers.length);
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
