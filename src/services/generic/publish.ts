// Publishing generic files: checks the names and does not inspect the bytes.

import { malformed } from "../../errors.ts";
import { foldedName, genericNameProblem, genericSection, type GenericName } from "../../modules/generic/names.ts";
import { urlBelow } from "../../modules/http/url.ts";
import type { RequestActor } from "../actor.ts";
import type { IfExists } from "../existing-file.ts";
import type { NewFile } from "../packages.ts";
import type { Publishing } from "../publishing.ts";
import type { Incoming, StagedFile } from "../staging.ts";
import { GENERIC } from "./type.ts";
import { foldCase } from "../../modules/fold-case.ts";

export type GenericPublishRequest = GenericName & {
  readonly actor: RequestActor;
  readonly owner: string;
  readonly incoming: Incoming;
  /** Runs every check and stores nothing. */
  readonly dryRun: boolean;
  readonly ifExists: IfExists;
};

export type GenericPublished = {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly size: number;
  readonly sha256: string;
  readonly md5: string;
  readonly url: string;
  /** ms UTC; null for a dry run, as is `revision`. */
  readonly published_at: number | null;
  readonly revision: number | null;
  /** Only when the file existed; all other members then describe the stored file. */
  readonly skipped?: true;
  /** Only with `skipped`: whether the uploaded bytes are the same. */
  readonly identical?: boolean;
};

/** Errors: those of publishing; `malformed` for an invalid name. */
export type GenericPublish = (request: GenericPublishRequest) => Promise<GenericPublished>;

export type GenericPublishParts = { readonly publishing: Publishing; readonly publicUrl: string };

export function createGenericPublish({ publishing, publicUrl }: GenericPublishParts): GenericPublish {
  return async (request) => {
    const { actor, owner, incoming, name, version, fileName, dryRun, ifExists } = request;
    const submitted = await publishing({
      actor,
      channel: { type: GENERIC, owner, channel: "" },
      packageName: foldedName(name),
      subject: `${genericSection(request)}/${fileName}`,
      incoming,
      dryRun,
      ifExists,
      fixedName: { section: genericSection(request), fileName },
      refuseAddress: () => {
        const problem = genericNameProblem(request);
        if (problem !== undefined)
          throw malformed(`Invalid name: ${problem}. A valid address ends, for example, in /tool/1.0/tool.zip.`);
      },
      read: (staged) => ({ file: newFile(request, staged), rules: [] }),
    });
    const file = submitted.kind === "new" ? submitted.read.file : submitted.file;
    const { size, sha256, md5 } = file.blob;
    const filename = file.fileName;
    const url = urlBelow(publicUrl, "api", "packages", foldCase(owner), GENERIC, name, version, filename);
    const common = { name, version, filename, size, sha256, md5, url };
    if (submitted.kind === "new") return { ...common, published_at: submitted.at, revision: submitted.revision };
    const { publishedAt, revision, identical } = submitted.file;
    return { ...common, published_at: publishedAt, revision, skipped: true, identical };
  };
}

function newFile(name: GenericName, { sha256, md5, size }: StagedFile): NewFile {
  return {
    packageName: foldedName(name.name),
    version: foldCase(name.version),
    section: genericSection(name),
    fileName: name.fileName,
    record: "{}",
    metadata: "{}",
    properties: [],
    changedBy: "version or file name",
    blob: { sha256, md5, size },
  };
}
