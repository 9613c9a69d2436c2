// A URL with which anybody can read one object for five minutes.

import { GetObjectCommand, HeadObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { SignedDownload } from "../blob-store.ts";
import type { Target } from "./upload.ts";

const VALID_SECONDS = 300;

/** A URL is valid for one method only. */
export async function signedUrl(client: S3Client, target: Target, download: SignedDownload): Promise<string> {
  const input = {
    ...target,
    ResponseContentType: "application/octet-stream",
    ResponseContentDisposition: `attachment; filename="${download.fileName}"`,
    // The URL, which caches use as the key, is a new one for every request.
    ResponseCacheControl: download.isPublic ? "public, no-cache" : "private, no-store",
  };
  const options = { expiresIn: VALID_SECONDS };
  return download.method === "HEAD"
    ? await getSignedUrl(client, new HeadObjectCommand(input), options)
    : await getSignedUrl(client, new GetObjectCommand(input), options);
}
