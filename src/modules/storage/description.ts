// Where blobs are stored: parses the URL of a storage, and describes one for a thread that opens it itself.

import { z } from "zod";

export type S3Location = {
  readonly kind: "s3";
  readonly bucket: string;
  /** Empty, or a path with a final slash. */
  readonly prefix: string;
  /** Undefined for Amazon's own endpoint of the region. */
  readonly endpoint: string | undefined;
  readonly region: string;
  /** Whether the bucket is in the path of a request, and not in its host name. */
  readonly pathStyle: boolean;
};

export type StorageLocation = { readonly kind: "folder" } | S3Location;

export type S3Credentials = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
};

export type S3Description = S3Location & { readonly credentials: S3Credentials };

/** Serializable; never logged or shown, as it can contain a secret. */
export type StorageDescription = { readonly kind: "folder" } | S3Description;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\/){0,8}$/;

const parameters = z.strictObject({
  endpoint: z.string().refine(isOrigin).optional(),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .default("us-east-1"),
  "path-style": z
    .enum(["true", "false"])
    .default("false")
    .transform((text) => text === "true"),
});

/** `folder`, or `s3://bucket/prefix?endpoint=…&region=…&path-style=true`. Undefined for anything else. */
export function parseStorage(text: string): StorageLocation | undefined {
  if (text === "folder") return { kind: "folder" };
  if (!text.startsWith("s3://") || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  // A URL object resolves `..`, and has credentials apart: nothing that was written may be ignored.
  if (text.split("?")[0] !== `s3://${url.host}${url.pathname}`) return undefined;
  const path = url.pathname.replace(/^\/+|\/+$/g, "");
  const prefix = path === "" ? "" : `${path}/`;
  if (url.hash !== "" || !BUCKET.test(url.host)) return undefined;
  const names = [...url.searchParams.keys()];
  const given = parameters.safeParse(Object.fromEntries(url.searchParams));
  if (!PREFIX.test(prefix) || new Set(names).size < names.length || !given.success) return undefined;
  const { endpoint, region, "path-style": pathStyle } = given.data;
  return { kind: "s3", bucket: url.host, prefix, endpoint, region, pathStyle };
}

/** The location as text that `parseStorage()` accepts. */
export function storageUrl(location: StorageLocation): string {
  if (location.kind === "folder") return "folder";
  const { bucket, prefix, endpoint, region, pathStyle } = location;
  const query = new URLSearchParams({
    ...(endpoint === undefined ? {} : { endpoint }),
    region,
    ...(pathStyle ? { "path-style": "true" } : {}),
  });
  return `s3://${bucket}/${prefix.slice(0, -1)}?${query.toString()}`;
}

function isOrigin(text: string): boolean {
  return /^https?:\/\/[^/?#@\\\s]+\/?$/i.test(text) && URL.canParse(text);
}
