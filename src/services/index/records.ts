// The only reader of package rows for documents. It filters, in this order, by the state of a file, by the view (the
// plain view shows all files), and by whether documents can represent the record. Unreadable records are skipped, and
// the channel is served without them.

import type { Reader } from "../../models/database.ts";
import type { IndexScope } from "../../models/index/scope.ts";
import type { SkippedRecord } from "../../models/index/db.ts";
import {
  bytesOfName,
  indexedFile,
  newestFiles,
  pagesOfName,
  pagesOfSection,
  yankedFiles,
  type FileKey,
  type IndexedFile,
  type SectionRange,
} from "../../models/indexed-file.ts";
import { listSections } from "../../models/package-file.ts";
import type { Work } from "./steps/long-work.ts";

/** A section as a view shows it. */
export type SectionScope = Omit<IndexScope, "layout">;

/** Some records in document order, as many as fit in memory at a time. */
export type RecordPage = {
  /** Active files that documents list. */
  readonly listed: readonly IndexedFile[];
  readonly yanked: readonly FileKey[];
  /** Active files that no document can represent. */
  readonly unreadable: readonly SkippedRecord[];
  /** All files up to and including this one have been read. */
  readonly through: FileKey | undefined;
};

type NameRange = {
  /** Only files after this one. */
  readonly after?: string | undefined;
  /** Only files whose names end with this suffix. */
  readonly ending?: string | undefined;
};

export type Records = {
  ofSection(
    scope: SectionScope,
    range: Pick<SectionRange, "after" | "ending" | "limit">,
  ): AsyncGenerator<RecordPage, void, undefined>;
  /** The records of a package name. */
  ofName(scope: SectionScope, name: string, range?: NameRange): AsyncGenerator<RecordPage, void, undefined>;
  /** Bytes stored for a name: an upper bound of what is read for it. */
  bytesOfName(scope: SectionScope, name: string): Promise<number>;
  /** The record of one file, if documents list it. */
  one(scope: SectionScope, fileName: string): Promise<IndexedFile | undefined>;
  /** The files that documents list, among the `limit` newest active files. */
  newest(channel: Pick<SectionScope, "channelId" | "view">, limit: number): Promise<IndexedFile[]>;
  /** The names of the yanked files of a section. */
  yanked(scope: SectionScope): Promise<string[]>;
  /** The sections that have a file. */
  sections(channel: Pick<SectionScope, "channelId" | "view">): Promise<string[]>;
};

/** Throws the reason when no document can represent a file. */
export type RequireReadable = (file: Pick<IndexedFile, "record" | "metadata" | "stored">) => void;

export function createRecords(reader: Reader, requireReadable: RequireReadable): Records {
  function problemOf(file: IndexedFile): SkippedRecord | undefined {
    try {
      requireReadable(file);
      return undefined;
    } catch (error) {
      return skippedRecord(file, error);
    }
  }
  const isListed = (file: IndexedFile): boolean => file.state === "active" && !problemOf(file);

  function pageOf(files: readonly IndexedFile[], through: FileKey | undefined): RecordPage {
    const active = files.filter(({ state }) => state === "active");
    const examined = active.map((file) => ({ file, problem: problemOf(file) }));
    return {
      listed: examined.filter(({ problem }) => !problem).map(({ file }) => file),
      yanked: files.filter(({ state }) => state === "yanked"),
      unreadable: examined.flatMap(({ problem }) => problem ?? []),
      through,
    };
  }

  return {
    ofSection: async function* ({ channelId, section }, range) {
      for await (const { files, through } of pagesOfSection(reader, { ...range, channelId, section }))
        yield pageOf(files, through);
    },
    ofName: async function* (scope, name, { after, ending = "" } = {}) {
      for await (const files of pagesOfName(reader, scope, name, after)) {
        const matching = files.filter(({ fileName }) => fileName.endsWith(ending));
        yield pageOf(matching, files.at(-1));
      }
    },
    bytesOfName: (scope, name) => bytesOfName(reader, scope, name),
    one: async ({ channelId, section }, fileName) => {
      const file = await indexedFile(reader, { channelId, section, fileName });
      return file && isListed(file) ? file : undefined;
    },
    newest: async ({ channelId }, limit) => (await newestFiles(reader, channelId, limit)).filter(isListed),
    yanked: ({ channelId, section }) => yankedFiles(reader, channelId, section),
    sections: ({ channelId }) => listSections(reader, channelId),
  };
}

/** Calls `use` for each listed record. Returns skipped records: unreadable ones, and those for which `use` throws. */
export async function* eachRecord(
  pages: AsyncIterable<RecordPage>,
  use: (file: IndexedFile) => void,
): Work<SkippedRecord[]> {
  const skipped: SkippedRecord[] = [];
  for await (const { listed, unreadable } of pages) {
    skipped.push(...unreadable);
    for (const file of listed) {
      try {
        use(file);
      } catch (error) {
        skipped.push(skippedRecord(file, error));
      }
    }
    yield "step";
  }
  return skipped;
}

export function skippedRecord({ packageName, section, fileName }: IndexedFile, error: unknown): SkippedRecord {
  const reason = error instanceof Error ? error.message : "unreadable";
  return { packageName, path: `${section}/${fileName}`, reason };
}
