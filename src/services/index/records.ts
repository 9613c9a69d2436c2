// Records as documents hold them: the only reader of rows for documents. It applies, in this order, the state of a file,
// the view (the plain one shows all files), and what cannot be represented: such records are set aside, and the channel
// goes on without them.

import type { Reader } from "../../models/database.ts";
import type { IndexScope } from "../../models/index/scope.ts";
import type { SkippedRecord } from "../../models/index/db.ts";
import {
  bytesOfName,
  indexedFile,
  listSections,
  newestFiles,
  pagesOfName,
  pagesOfSection,
  yankedFiles,
  type FileKey,
  type IndexedFile,
  type SectionRange,
} from "../../models/package-file.ts";
import type { Work } from "./steps/long-work.ts";

/** A section as a view shows it. */
export type SectionScope = Omit<IndexScope, "layout">;

/** Some records in the order of documents, as many as can be held. */
export type RecordPage = {
  /** What documents list. */
  readonly listed: readonly IndexedFile[];
  readonly yanked: readonly FileKey[];
  /** Active files that no document can hold. */
  readonly unreadable: readonly SkippedRecord[];
  /** All files up to this one have been looked at. */
  readonly through: FileKey | undefined;
};

type NameRange = {
  /** From the file after this one on. */
  readonly begin?: string | undefined;
  /** Only files whose names end so. */
  readonly ending?: string | undefined;
};

export type Records = {
  ofSection(
    scope: SectionScope,
    range: Pick<SectionRange, "after" | "ending" | "limit">,
  ): AsyncGenerator<RecordPage, void, undefined>;
  /** Those of a name. */
  ofName(scope: SectionScope, name: string, range?: NameRange): AsyncGenerator<RecordPage, void, undefined>;
  /** Bytes of all that is stored of a name, which bounds what is read of it. */
  bytesOfName(scope: SectionScope, name: string): Promise<number>;
  /** One that documents list. */
  one(scope: SectionScope, fileName: string): Promise<IndexedFile | undefined>;
  /** The newest that documents list, of so many that are active. */
  newest(channel: Pick<SectionScope, "channelId" | "view">, limit: number): Promise<IndexedFile[]>;
  /** The names of the yanked files of a section. */
  yanked(scope: SectionScope): Promise<string[]>;
  /** The sections that hold a file. */
  sections(channel: Pick<SectionScope, "channelId" | "view">): Promise<string[]>;
};

/** Throws why no document can hold a file. */
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
    const judged = active.map((file) => ({ file, problem: problemOf(file) }));
    return {
      listed: judged.filter(({ problem }) => !problem).map(({ file }) => file),
      yanked: files.filter(({ state }) => state === "yanked"),
      unreadable: judged.flatMap(({ problem }) => problem ?? []),
      through,
    };
  }

  return {
    ofSection: async function* ({ channelId, section }, range) {
      for await (const { files, through } of pagesOfSection(reader, { ...range, channelId, section }))
        yield pageOf(files, through);
    },
    ofName: async function* (scope, name, { begin, ending = "" } = {}) {
      for await (const files of pagesOfName(reader, scope, name, begin)) {
        const some = files.filter(({ fileName }) => fileName.endsWith(ending));
        yield pageOf(some, files.at(-1));
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

/** Does something with each record of some pages; answers those that are set aside, as `use` throws for them as well. */
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
