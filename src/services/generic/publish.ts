// Publishing generic files: checks the names and does not inspect the bytes.

import { malformed } from "../../errors.ts";
import { foldedName, genericNameProblem, genericSection, type GenericName } from "../../modules/generic/names.ts";
import { urlBelow } from "../../modules/http/url.ts";
import type { RequestActor } from "../actor.ts";
import type { NewFile } from "../packages.ts";
import type { Publishing } from "../publishing.ts";
import type { Incoming, StagedFile } from "../staging.ts";
import { GENERIC } from "./type.ts";

export type GenericPublishRequest = GenericName & {
  readonly actor: RequestActor;
  readonly owner: string;
  readonly incoming: Incoming;
};

export type GenericPublished = {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly size: number;
  readonly sha256: string;
  readonly md5: string;
  readonly url: string;
  /** ms UTC */
  readonly published_at: number | null;
  readonly revision: number | null;
};

/** Errors: those of publishing; `malformed` for an invalid name. */
export type GenericPublish = (request: GenericPublishRequest) => Promise<GenericPublished>;

export type GenericPublishParts = { readonly publishing: Publishing; readonly publicUrl: string };

export function createGenericPublish({ publishing, publicUrl }: GenericPublishParts): GenericPublish {
  return async (request) => {
    const { actor, owner, incoming, name, version, fileName } = request;
    const { read, at, revision } = await publishing({
      actor,
      channel: { type: GENERIC, owner, channel: "" },
      packageName: foldedName(name),
      subject: `${genericSection(request)}/${fileName}`,
      incoming,
      dryRun: false,
      refuseAddress: () => {
        const problem = genericNameProblem(request);
        if (problem !== undefined) throw malformed(`Invalid name: ${problem}.`);
      },
      read: (staged) => ({ file: newFile(request, staged), rules: [] }),
    });
    const { size, sha256, md5 } = read.file.blob;
    const url = urlBelow(publicUrl, "api", "packages", owner.toLowerCase(), GENERIC, name, version, fileName);
    return { name, version, filename: fileName, size, sha256, md5, url, published_at: at, revision };
  };
}

function newFile(name: GenericName, { sha256, md5, size }: StagedFile): NewFile {
  return {
    packageName: foldedName(name.name),
    version: name.version.toLowerCase(),
    section: genericSection(name),
    fileName: name.fileName,
    record: "{}",
    metadata: "{}",
    properties: [],
    blob: { sha256, md5, size },
  };
}
