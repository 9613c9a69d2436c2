// The whole suite once more, on PostgreSQL and a bucket, each file in a process of its own: a process has one engine.

import { beforeAll, describe, expect, test } from "bun:test";
import { relative } from "node:path";
import { AT_NIGHT, IN_CHECK, pathsOf, postgresFiles } from "../engine-files.ts";
import { hasPostgres } from "../support/postgres.ts";
import { startSharedServers } from "../support/shared-servers.ts";
import { hasVersitygw } from "../support/versitygw.ts";

const what = "the whole suite on PostgreSQL and S3";
const canRun = [hasPostgres(what), hasVersitygw(what)].every(Boolean);
const ROOT = `${import.meta.dir}/../..`;
const files = [...postgresFiles(), ...pathsOf([...IN_CHECK, ...AT_NIGHT].toSorted())];

describe.skipIf(!canRun)("on PostgreSQL and a bucket", () => {
  let env: Record<string, string | undefined>;
  beforeAll(async () => {
    env = await startSharedServers("postgres+s3");
  });

  test.each(files.map((path) => relative(ROOT, path)))("%s passes", async (file) => {
    const child = Bun.spawn([process.execPath, "test", `./${file}`], {
      cwd: ROOT,
      env,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [code, out, err] = await Promise.all([
      child.exited,
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    // The report has a line for each test; those of tests that passed are left out.
    const report = `${out}\n${err}`.split("\n").filter((line) => !line.startsWith("(pass)"));
    if (code !== 0) console.log(report.join("\n"));
    expect([file, code]).toEqual([file, 0]);
  });
});
