import { describe, expect, test } from "bun:test";
import { AppError, unavailable } from "../../src/errors.ts";
import { toAppError } from "../../src/models/postgres/errors.ts";
import { errorOf, failureOf, type Failure } from "../../src/services/worker-failures.ts";
import { storageDown } from "../../src/modules/storage/s3/breaker.ts";

const PATH = "/srv/condarium/index.db";
const coded = (code: string): Error => Object.assign(new Error(`${code}: open '${PATH}'`), { code });
const sqlite = (errno: number): Error =>
  Object.assign(new Error(`disk I/O error of ${PATH}`), { name: "SQLiteError", errno });
const lost = Object.assign(new Error("Connection closed"), { code: "ERR_POSTGRES_CONNECTION_CLOSED" });

/** As the server's thread sees it: what crosses the threads has no classes. */
const sent = (error: unknown): AppError | undefined => errorOf(structuredClone<Failure>(failureOf(error)));

describe("what a thread tells of a failure", () => {
  test.each([
    ["the lost database", toAppError(lost), "unavailable", "database", "The database cannot be reached"],
    ["the bucket", storageDown(10), "unavailable", "storage", "The server cannot use its storage"],
    ["a full disk", coded("ENOSPC"), "no-space", undefined, "The server's disk is full"],
    ["a full quota", new Error("x", { cause: coded("EDQUOT") }), "no-space", undefined, "The server's disk is full"],
    ["a full disk of index.db", sqlite(13), "no-space", undefined, "The server's disk is full"],
    ["a full disk at its start", new AppError("no-space", PATH), "no-space", undefined, "The server's disk is full"],
    ["a failing disk", coded("EIO"), "unavailable", "disk", "The server cannot use its disk"],
    ["a read-only disk", coded("EROFS"), "unavailable", "disk", "The server cannot use its disk"],
    ["a failing disk of index.db", sqlite(778), "unavailable", "disk", "The server cannot use its disk"],
  ])("names %s to the client, with a time to retry, and no path", (_, error, code, part, text) => {
    const known = sent(error);
    expect([known?.code, known?.facts.part]).toEqual([code as AppError["code"], part as "disk"]);
    expect(known?.message).toStartWith(text);
    expect(known?.message).not.toContain(PATH);
    expect(known?.facts.retryAfter !== undefined).toBe(code === "unavailable");
    // The log gets the reason.
    expect(String(known?.facts.cause)).toContain(error instanceof Error ? error.message : "");
  });

  test.each([
    ["damage of index.db", sqlite(11)],
    ["a mistake of the server", new TypeError("undefined is not a function")],
    ["an error whose text can have a path", unavailable(`${PATH} is busy`, 1)],
  ])("says nothing of %s", (_, error) => {
    expect(sent(error)).toBeUndefined();
    expect(failureOf(error).message).toBe(error.message);
  });
});
