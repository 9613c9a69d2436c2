// Looks things up in index.db beside the thread that writes it, where asking that thread would cost others their turn.

import { Database as Connection, type SQLQueryBindings, type Statement } from "bun:sqlite";
import { statSync } from "node:fs";

export type DerivedLookup = {
  /** Whether some entry of a layout, in any view and section, ends in these 32 bytes; undefined when that cannot be told. */
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

/** The file is opened when it is first needed, and anew when another has taken its place. */
export function openDerivedLookup(path: string): DerivedLookup {
  let opened: Opened | undefined;
  const close = (): void => {
    opened?.db.close();
    opened = undefined;
  };
  return {
    hasEntryEndingIn: ({ channelId, layout }, end) => {
      const inode = statSync(path, { throwIfNoEntry: false })?.ino;
      // Without the file nothing has ever been named.
      if (inode === undefined) return false;
      try {
        if (opened?.inode !== inode) close();
        opened ??= open(path, inode);
        return opened.find.get({ channelId, layout, end }) !== null;
      } catch {
        // It is just being made, or damaged: its own thread knows what to do then.
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
