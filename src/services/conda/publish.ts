// Publishing conda packages: the request of each dialect, the checks of the package, and the response.

import { malformed } from "../../errors.ts";
import { formatOf, parseFileName } from "../../modules/conda/file-name.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import { setRecordSubdir } from "../../modules/conda/record.ts";
import { composeShard } from "../../modules/conda/shards.ts";
import { metadataText, storedFindings, storedProblem } from "../../modules/conda/stored.ts";
import { urlBelow } from "../../modules/http/url.ts";
import type { RequestActor } from "../actor.ts";
import { channelLabel, channelUrl, type ChannelRef } from "../channel-ref.ts";
import type { IfExists, SkippedFile } from "../existing-file.ts";
import type { NewFile } from "../packages.ts";
import type { Publishing, ReadFile, Submitted } from "../publishing.ts";
import type { Incoming, StagedFile } from "../staging.ts";
import { refusal, type AcceptedPackage, type Inspect } from "./inspect.ts";
import { condaPolicyOf } from "./policy.ts";
import { foldCase } from "../../modules/fold-case.ts";

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
  readonly ifExists: IfExists;
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
} & Outcome;

type Outcome =
  | {
      /** Whether this publish creates the channel; for a dry run, whether a publish would. */
      readonly channel_created: boolean;
      /** Only with a created channel: existing channels whose name is similar, perhaps the intended one. */
      readonly similar_channels?: readonly string[];
    }
  /** The file existed; all other members describe the stored file. `identical`: the uploaded bytes are the same. */
  | { readonly skipped: true; readonly identical: boolean };

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
    const { actor, owner, channel, incoming, dryRun, ifExists, subdir, fileName } = request;
    const submitted = await publishing<ReadPackage>({
      actor,
      channel: { owner, channel },
      subject: `${request.subdir ?? "?"}/${request.fileName}`,
      incoming,
      dryRun,
      ifExists,
      fixedName: subdir === undefined || request.anyName ? undefined : { section: subdir, fileName },
      refuseAddress: () => {
        if (formatOf(fileName) === undefined) {
          throw malformed("The file name must end in .conda or .tar.bz2, for example tool-1.0-0.conda.");
        }
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
    changedBy: "version or build number",
    blob: { sha256, md5, size },
  };
}

function publishedOf(
  publicUrl: string,
  { owner, channel }: Pick<PublishRequest, "owner" | "channel">,
  submitted: Submitted<ReadPackage>,
): Published {
  const described = submitted.kind === "new" ? describeNew(submitted) : describeStored(submitted.file);
  const ownerName = foldCase(owner);
  const { subdir, filename } = described;
  const url = urlBelow(channelUrl(publicUrl, ownerName, channel), subdir, filename);
  return { channel: channelLabel(ownerName, channel), ...described, url };
}

type Described = Omit<Extract<Published, { channel_created: boolean }>, "channel" | "url"> | StoredDescription;
type StoredDescription = Omit<Extract<Published, { skipped: true }>, "channel" | "url">;

function describeNew(submitted: Extract<Submitted<ReadPackage>, { kind: "new" }>): Described {
  const { read, at, revision, channelCreated, similarChannels } = submitted;
  const { name, version, build, fileName } = read.accepted.identity;
  const { size, sha256, md5 } = read.file.blob;
  return {
    name,
    version,
    build,
    subdir: read.subdir,
    filename: fileName,
    size,
    sha256,
    md5,
    published_at: at,
    revision,
    findings: read.findings,
    channel_created: channelCreated,
    ...(channelCreated && { similar_channels: similarChannels }),
  };
}

function describeStored(file: SkippedFile): StoredDescription {
  const { packageName, section, fileName, blob, publishedAt, revision, identical, metadata } = file;
  const { size, sha256, md5 } = blob;
  const { version = "", build = "" } = parseFileName(fileName) ?? {};
  return {
    name: packageName,
    version,
    build,
    subdir: section,
    filename: fileName,
    size,
    sha256,
    md5,
    published_at: publishedAt,
    revision,
    findings: storedFindings(metadata),
    skipped: true,
    identical,
  };
}

function finding(rule: string, path: string, message: string, fix: string): Finding {
  return { rule, level: "refused", path, message, fix };
}
