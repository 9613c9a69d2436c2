// Classifies disk errors and translates them into application errors.

import { AppError } from "../../errors.ts";

export function hasCode(error: unknown, ...codes: readonly string[]): error is Error {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

/** Translates an error of a full disk or quota into `no-space`; returns any other error unchanged. */
export function orNoSpace(error: unknown): unknown {
  return hasCode(error, "ENOSPC", "EDQUOT") ? noSpace(error) : error;
}

/** The system's error codes for a disk that is full, that refuses a write, or that has failed. */
const FULL = ["ENOSPC", "EDQUOT"];
const REFUSED = ["EACCES", "EPERM", ...FULL];
const FAILED = ["EROFS", "EIO"];

/** Whether the disk has failed. A later operation that succeeds does not prove that it works again. */
export function isDiskFailure(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, ...FAILED));
}

/** Whether an fsync failed: the data lost by it is unknown, and a second fsync can report that data as stored. */
export function isSyncFailure(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, "EIO") && "syscall" in cause && cause.syscall === "fsync");
}

/** Whether the disk refused a single operation, or has failed. */
export function isDiskRefusal(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, ...REFUSED, ...FAILED));
}

/** Why a disk accepts no writes; `message` is the system's, with paths. */
export type DiskFault = { readonly kind: "full" | "read-only" | "failing"; readonly message: string };

export function faultKind(error: unknown): DiskFault["kind"] {
  const causes = causesOf(error);
  if (isDiskFull(error)) return "full";
  return causes.some((cause) => hasCode(cause, "EROFS")) ? "read-only" : "failing";
}

/** Translates a disk error into an error that clients can see; returns any other error unchanged. */
export function toDiskError(error: unknown): unknown {
  if (error instanceof AppError || !hasCode(error, ...REFUSED, ...FAILED)) return error;
  if (hasCode(error, ...FULL)) return noSpace(error);
  return diskDown(error);
}

export function isDiskFull(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, ...FULL));
}

/** The error of a disk that refuses or fails what the server does with it. */
export function diskDown(cause?: unknown): AppError {
  const message = "The server cannot use its disk. Its administrator can find the reason in the log.";
  return new AppError("unavailable", message, { retryAfter: 60, cause, part: "disk" });
}

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (let at: unknown = error; at instanceof Error && causes.length < 5; at = at.cause) causes.push(at);
  return causes;
}

export function noSpace(cause?: unknown): AppError {
  return new AppError("no-space", "The server's disk is full. Its administrator must free space.", { cause });
}

/** The error for an upload that announces more bytes than the disk has room for. */
export function noRoom(announced: number, room: number): AppError {
  const message = `The upload has ${announced} bytes, and the server's disk has room for ${room}.`;
  return new AppError("no-space", `${message} Its administrator must free space.`, { members: { limit: room } });
}
