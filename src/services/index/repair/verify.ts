// Checks the documents of every channel (I-6, I-7): compares rebuilt documents with the rows by reading them back, and
// stored data with the rebuilt data. It does not write to stored data.

import { basename } from "node:path";
import { Decompress } from "fzstd";
import type { Snapshots } from "../../../models/database.ts";
import { kindOfDerived, listSkipped } from "../../../models/index/copy.ts";
import { decompressBzip2 } from "../../../modules/archive/bzip2.ts";
import { createFileHash } from "../../../modules/hash.ts";
import { folderOf, formOf, PLAIN_VIEW } from "../documents.ts";
import type { ReportProblem, IndexFormat, SectionRows } from "../format.ts";
import { bytesOf, type Composition } from "../segments/compose.ts";
import { documentsOf, isFileDamaged, rebuildScope, type FreshShard, type Rebuilt } from "./rebuild.ts";
import { countDocuments, documentLabel, rebuildTargets, type RebuildTarget, type RepairParts } from "./targets.ts";
import { withScratch, type Scratch } from "./scratch.ts";

/** Reports a fault: the name of the invariant, the subject, and what is wrong. */
export type Report = (invariant: string, subject: string, message: string) => void;

export type DeepVerify = (options: {
  readonly report: Report;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}) => Promise<void>;

/** Faults reported per document: one mistake can affect every entry, and this many show what it is. */
const MAX_COMPLAINTS = 20;

export function createDeepVerify(parts: RepairParts): DeepVerify {
  return async ({ report, onProgress }) => {
    const targets = await rebuildTargets(parts.database.read, parts.types);
    const total = countDocuments(parts.format, targets);
    let built = 0;
    const onBuilt = (): void => onProgress?.((built += 1), total);
    const path = parts.folder.index;
    const kind = kindOfDerived(path, parts.format.codec);
    if (kind === "damaged") report("I-6", basename(path), "it is damaged: run condarium reindex to recreate it");
    const snapshots = parts.openSnapshots();
    try {
      for (const target of targets) {
        const stored = kind === "ours" ? path : undefined;
        await verifyChannel({ ...parts, snapshots, stored, onBuilt, report }, target);
      }
    } finally {
      await snapshots.close();
    }
  };
}

type Work = RepairParts & {
  readonly snapshots: Snapshots;
  readonly stored: string | undefined;
  readonly onBuilt: () => void;
  readonly report: Report;
};

async function verifyChannel(work: Work, target: RebuildTarget): Promise<void> {
  await withScratch(work.folder.temporary, work.format.codec, async (scratch) => {
    for (const section of target.sections) {
      const scope = { channelId: target.channelId, view: PLAIN_VIEW, section, address: { title: "", url: "" } };
      const onShard = ({ hash, content, stored }: FreshShard): void => {
        scratch.shards.add(hash, content);
        if (stored === "same" || stored === "unwritten") return;
        const subject = documentLabel(target, section, `shards/${hash}.msgpack.zst`);
        work.report(
          "I-7",
          subject,
          stored === "missing" ? "it is missing" : "its content does not have the hash in its name",
        );
      };
      const parts = { ...work, scratch, onShard, onDocument: work.onBuilt };
      await rebuildScope(parts, scope, (rebuilt) => checkScope(work, { target, section, scratch, rebuilt }));
    }
    for (const { path, reason } of listSkipped(scratch.fresh.path))
      work.report("I-6", `${target.label} ${path}`, `no document can hold it: ${reason}`);
  });
}

type ScopeCheck = {
  readonly target: RebuildTarget;
  readonly section: string;
  readonly scratch: Scratch;
  readonly rebuilt: Rebuilt;
};

async function checkScope(work: Work, { target, section, scratch, rebuilt }: ScopeCheck): Promise<void> {
  const { channelId } = target;
  const rows: SectionRows = { records: rebuilt.records, channelId, view: PLAIN_VIEW, section };
  const texts = new Map<string, string>();
  for (const name of documentsOf(work.format, section)) {
    const composition = rebuilt.documents.get(name);
    if (!composition) continue;
    const complaints = createComplaints((invariant, message) =>
      work.report(invariant, documentLabel(target, section, name), message),
    );
    try {
      await checkDocument(work.format, rows, { name, composition, scratch, texts }, complaints.add);
    } catch (error) {
      complaints.add("I-6", `it cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    }
    for (const { documents, what } of rebuilt.differences) {
      if (documents.includes(name)) complaints.add("I-6", `its stored data differs in ${what}`);
    }
    if (await isFileDamaged(work.files, folderOf(rows, { section, name }), composition))
      complaints.add("I-6", "its file is damaged");
    complaints.end();
  }
}

type DocumentCheck = {
  readonly name: string;
  readonly composition: Composition;
  readonly scratch: Scratch;
  /** The hash of each text, by the document's name as plain JSON. */
  readonly texts: Map<string, string>;
};

async function checkDocument(
  format: IndexFormat,
  rows: SectionRows,
  { name, composition, scratch, texts }: DocumentCheck,
  complain: ReportProblem,
): Promise<void> {
  const bytes = (): Iterable<Uint8Array> => bytesOf(composition);
  await format.check(rows, { name, bytes, readShard: scratch.shards.read }, complain);
  const plain = name.replace(/\.(?:zst|bz2)$/, "");
  const hash = textHash(name, composition);
  if ((texts.get(plain) ?? hash) !== hash) complain("I-6", `its text differs from that of ${plain}`);
  texts.set(plain, hash);
}

/** The hash of a document's text. The decoders share no code with the encoders. */
function textHash(name: string, composition: Composition): string {
  const hash = createFileHash();
  const update = (chunk: Uint8Array): void => hash.update(chunk);
  switch (formOf(name)) {
    case "json":
      for (const part of bytesOf(composition)) update(part);
      break;
    case "zst": {
      const decoder = new Decompress(update);
      for (const part of bytesOf(composition)) decoder.push(part);
      decoder.push(new Uint8Array(0), true);
      break;
    }
    case "bz2":
      for (const chunk of decompressBzip2(bytesOf(composition))) update(chunk);
      break;
  }
  return hash.digest().sha256;
}

function createComplaints(report: ReportProblem): { add: ReportProblem; end(): void } {
  let count = 0;
  return {
    add: (invariant, message) => {
      count += 1;
      if (count <= MAX_COMPLAINTS) report(invariant, message);
    },
    end: () => {
      if (count > MAX_COMPLAINTS) report("I-6", `it has ${count - MAX_COMPLAINTS} more faults`);
    },
  };
}
