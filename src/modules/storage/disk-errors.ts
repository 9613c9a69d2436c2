// Which failures of a disk are ordinary, and what they mean.

import { AppError, unavailable } from "../../errors.ts";

export function hasCode(error: unknown, ...codes: readonly string[]): error is Error {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

/** A full disk or quota as people may see it; anything else as it is. */
export function orNoSpace(error: unknown): unknown {
  return hasCode(error, "ENOSPC", "EDQUOT") ? noSpace(error) : error;
}

/** What the system says when nothing can be written there, or when the disk is broken. */
const FULL = ["ENOSPC", "EDQUOT"];
const REFUSED = ["EACCES", "EPERM", ...FULL];
const FAILED = ["EROFS", "EIO"];

/** The disk failed, whatever was asked of it: what it answers to the next one is no proof of the contrary. */
export function isDiskFailure(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, ...FAILED));
}

/** What the disk has lost by that, nobody knows, and a second fsync may call it stored. */
export function isSyncFailure(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, "EIO") && "syscall" in cause && cause.syscall === "fsync");
}

/** It could not take this one thing, or it failed. */
export function isDiskRefusal(error: unknown): boolean {
  return causesOf(error).some((cause) => hasCode(cause, ...REFUSED, ...FAILED));
}

/** A failure of the disk as people may see it; anything else as it is. */
export function toDiskError(error: unknown): unknown {
  if (error instanceof AppError || !hasCode(error, ...REFUSED, ...FAILED)) return error;
  if (hasCode(error, ...FULL)) return noSpace(error);
  return unavailable("The server cannot use its disk. Its administrator finds the reason in the log.", 60, error);
}

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (let at: unknown = error; at instanceof Error && causes.length < 5; at = at.cause) causes.push(at);
  return causes;
}

export function noSpace(cause?: unknown): AppError {
  return new AppError("no-space", "The server's disk is full. Its administrator has to make room.", { cause });
}

/** For an upload that announces more than there is room for. */
export function noRoom(announced: number, room: number): AppError {
  const message = `The upload has ${announced} bytes, and the server's disk has room for ${room}.`;
  return new AppError("no-space", `${message} Its administrator has to make room.`, { members: { limit: room } });
}
