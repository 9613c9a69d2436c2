// Publishing conda packages: the request of each dialect, the checks of the package, and the response.

import { malformed } from "../../errors.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import { setRecordSubdir } from "../../modules/conda/record.ts";
import { composeShard } from "../../modules/conda/shards.ts";
import { metadataText, storedProblem } from "../../modules/conda/stored.ts";
import { urlBelow } from "../../modules/http/url.ts";
import type { RequestActor } from "../actor.ts";
import { channelLabel, channelUrl, type ChannelRef } from "../channel-ref.ts";
import type { NewFile } from "../packages.ts";
import type { Publishing, ReadFile, Submitted } from "../publishing.ts";
import type { Incoming, StagedFile } from "../staging.ts";
import { refusal, type AcceptedPackage, type Inspect } from "./inspect.ts";
import { condaPolicyOf } from "./policy.ts";

export type PublishRequest = {
  readonly actor: RequestActor;
  readonly owner: string;
  readonly channel: string;
  /** The name in the URL. */
  readonly fileName: string;
  /** The subdir in the URL, when the dialect has one; it must equal the package's subdir. */
  readonly subdir: string | undefined;
  /** Gitea accepts any name with a valid extension and stores the rebuilt one; other dialects need the exact name. */
  readonly anyName: boolean;
  readonly incoming: Incoming;
  /** Runs every check and stores nothing. */
  readonly dryRun: boolean;
};

export type Published = {
  readonly channel: string;
  readonly name: string;
  readonly version: string;
  readonly build: string;
  readonly subdir: string;
  readonly filename: string;
  readonly size: number;
  readonly sha256: string;
  readonly md5: string;
  readonly url: string;
  /** ms UTC; null for a dry run, as is `revision`. */
  readonly published_at: number | null;
  readonly revision: number | null;
  readonly findings: readonly Finding[];
};

export type Publish = (request: PublishRequest) => Promise<Published>;

export type PublishParts = {
  readonly publishing: Publishing;
  readonly inspect: Inspect;
  readonly publicUrl: string;
};

/** The package after all checks of request and policy. */
type Resolved = { readonly accepted: AcceptedPackage; readonly subdir: string; readonly findings: readonly Finding[] };
type ReadPackage = ReadFile & Resolved;

export function createPublish({ publishing, inspect, publicUrl }: PublishParts): Publish {
  return async (request) => {
    const { actor, owner, channel, incoming, dryRun } = request;
    const submitted = await publishing<ReadPackage>({
      actor,
      channel: { owner, channel },
      subject: `${request.subdir ?? "?"}/${request.fileName}`,
      incoming,
      dryRun,
      refuseAddress: () => {
        if (formatOf(request.fileName) === undefined) throw malformed("The file name must end in .conda or .tar.bz2.");
      },
      read: async (staged, { ref, account }) => {
        const resolved = resolve(request, ref, await inspect(staged, request.fileName, account));
        const rules = resolved.findings.map(({ rule }) => rule);
        return { ...resolved, file: newFile(staged, resolved), fileList: resolved.accepted.fileList, rules };
      },
    });
    return publishedOf(publicUrl, request, submitted);
  };
}

/** Applies the request and the channel's policy to the package. */
function resolve(request: PublishRequest, ref: ChannelRef, accepted: AcceptedPackage): Resolved {
  const { identity } = accepted;
  const findings = [...accepted.findings];
  const subdir = identity.subdir ?? request.subdir;
  if (subdir === undefined) {
    throw refusal([
      finding(
        "subdir-missing",
        "info/index.json",
        "The package has no subdir.",
        "Add `subdir` to the file, or publish to a URL with the subdir.",
      ),
    ]);
  }
  if (request.subdir !== undefined && request.subdir !== subdir) {
    throw refusal([
      finding(
        "subdir-mismatch",
        request.subdir,
        `The package is for ${subdir}, not for the subdir of the URL.`,
        `Publish it to …/${subdir}/${identity.fileName}.`,
      ),
    ]);
  }
  if (request.fileName !== identity.fileName) {
    const message = `The package metadata gives the file name ${identity.fileName}.`;
    const fix = `Rename the file to ${identity.fileName}.`;
    const mismatch = finding("file-name-mismatch", request.fileName, message, fix);
    if (!request.anyName) throw refusal([mismatch]);
    findings.push({ ...mismatch, level: "warning" });
  }
  if (condaPolicyOf(ref.channel).validation === "strict" && findings.length > 0) throw refusal(findings);
  return { accepted, subdir, findings };
}

function newFile(staged: StagedFile, { accepted, subdir, findings }: Resolved): NewFile {
  const { sha256, md5, size } = staged;
  const { identity } = accepted;
  const { fileName } = identity;
  const record = identity.subdir === undefined ? setRecordSubdir(accepted.record, subdir) : accepted.record;
  const metadata = { ...accepted.metadata, findings };
  const problem = storedProblem(record, metadata);
  if (problem) throw refusal([problem]);
  const { runExports } = metadata;
  // A shard of one file slightly exceeds its entry; every timestamp to be written is at most as long as this one.
  const entry = { fileName, record, sha256, md5, size, runExports, indexedTimestamp: Number.MAX_SAFE_INTEGER };
  const weight = composeShard({ entries: [entry], removed: [] }).byteLength;
  return {
    packageName: identity.name,
    version: identity.version,
    section: subdir,
    fileName,
    record,
    metadata: metadataText(metadata, weight),
    properties: [{ name: "conda.build", value: identity.build }],
    weight,
    blob: { sha256, md5, size },
  };
}

function publishedOf(
  publicUrl: string,
  request: PublishRequest,
  { read, at, revision }: Submitted<ReadPackage>,
): Published {
  const { identity } = read.accepted;
  const { subdir } = read;
  const { sha256, md5, size } = read.file.blob;
  const [owner, channel] = [request.owner.toLowerCase(), request.channel];
  return {
    channel: channelLabel(owner, channel),
    name: identity.name,
    version: identity.version,
    build: identity.build,
    subdir,
    filename: identity.fileName,
    size,
    sha256,
    md5,
    url: urlBelow(channelUrl(publicUrl, owner, channel), subdir, identity.fileName),
    published_at: at,
    revision,
    findings: read.findings,
  };
}

function finding(rule: string, path: string, message: string, fix: string): Finding {
  return { rule, level: "refused", path, message, fix };
}
