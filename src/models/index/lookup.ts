// Reads index.db outside the thread that writes it, for lookups that must not take a turn of that thread.

import { Database as Connection, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { statSync } from "node:fs";

export type DerivedLookup = {
  /** Whether an entry of a layout, in any view and section, ends with these 32 bytes; undefined when unknown. */
  hasEntryEndingIn(
    scope: { readonly channelId: number; readonly layout: string },
    end: Uint8Array,
  ): boolean | undefined;
  close(): void;
};

type Opened = {
  readonly db: Connection;
  readonly inode: number;
  readonly find: Statement<unknown, SQLQueryBindings[]>;
};

/** Opens the file on first use, and again after it was replaced. */
export function openDerivedLookup(path: string): DerivedLookup {
  let opened: Opened | undefined;
  const close = (): void => {
    opened?.db.close();
    opened = undefined;
  };
  return {
    hasEntryEndingIn: ({ channelId, layout }, end) => {
      const inode = statSync(path, { throwIfNoEntry: false })?.ino;
      // Without the file there are no entries.
      if (inode === undefined) return false;
      try {
        if (opened?.inode !== inode) close();
        opened ??= open(path, inode);
        return opened.find.get({ channelId, layout, end }) !== null;
      } catch {
        // The file is damaged or still being created; the thread that writes it handles both.
        close();
        return undefined;
      }
    },
    close,
  };
}

function open(path: string, inode: number): Opened {
  const db = new Connection(path, { readonly: true, strict: true });
  const where = "channel_id = $channelId AND layout = $layout AND substr(value, -32) = $end";
  return { db, inode, find: db.query(`SELECT 1 FROM entry WHERE ${where} LIMIT 1`) };
}
