// Which failures of a disk are ordinary, and what they mean.

import { AppError } from "../../errors.ts";

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

/** A full disk or quota as people may see it; anything else as it is. */
export function orNoSpace(error: unknown): unknown {
  return hasCode(error, "ENOSPC", "EDQUOT") ? noSpace(error) : error;
}

export function noSpace(cause?: unknown): AppError {
  return new AppError("no-space", "The server's disk is full. Its administrator has to make room.", { cause });
}

/** For an upload that announces more than there is room for. */
export function noRoom(announced: number, room: number): AppError {
  const message = `The upload has ${announced} bytes, and the server's disk has room for ${room}.`;
  return new AppError("no-space", `${message} Its administrator has to make room.`, { members: { limit: room } });
}
