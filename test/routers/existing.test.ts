// A publish of a file that exists: refused with what to do next, skipped, or refused by a precondition.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables, type Tables } from "../support/rows.ts";

type Body = Record<string, unknown>;

let server: TestApp;
let alice: Actor;
let tables: Tables;
beforeAll(async () => {
  server = await startTestApp({ settings: { "uploads-per-account": "100", "uploads-per-token": "100" } });
  tables = openTables(server.folder);
  alice = await server.addUser("alice");
  await server.addUser("bob");
});
afterAll(async () => {
  tables.close();
  await server.close();
});

const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const conda = (name: string, content: string) => {
  const built = buildPackage({ name, version: "1", files: { "share/x": content } });
  return { bytes: built.bytes, sha256: built.sha256, fileName: built.fileName };
};
let serial = 0;
let name = "";
beforeEach(() => {
  serial += 1;
  name = `existing-${serial}`;
});

/** The address forms, each with the bytes to publish there. */
const FORMS = [
  {
    form: "Gitea's form",
    path: () => `/api/packages/alice/conda/main/any-name.conda`,
    bytes: (content: string) => conda(name, content).bytes,
    fix: "Publish yours with another version or build number, or delete the stored file first.",
  },
  {
    form: "the form with a subdir",
    path: () => `/alice/main/noarch/${name}-1-0.conda`,
    bytes: (content: string) => conda(name, content).bytes,
    fix: "Publish yours with another version or build number, or delete the stored file first.",
  },
  {
    form: "the generic form",
    path: () => `/api/packages/alice/generic/${name}/1/file.bin`,
    bytes: (content: string) => text(`${name} ${content}`),
    fix: "Publish yours with another version or file name, or delete the stored file first.",
  },
] as const;

for (const { form, path, bytes, fix } of FORMS) {
  describe(`an existing file on ${form}`, () => {
    const publish = async (content: string, query = "", headers: Record<string, string> = {}, actor = alice) => {
      const answer = await actor.put(`${path()}${query}`, bytes(content), headers);
      return { status: answer.status, headers: answer.headers, body: await jsonOf<Body>(answer) };
    };

    test("is refused with what to do next, for the same bytes and for others", async () => {
      const first = await publish("one");
      expect(first.status).toBe(201);
      for (const query of ["", "?dry_run=true", "?skip_existing=false"]) {
        const same = await publish("one", query);
        expect([same.status, same.body.identical]).toEqual([409, true]);
        expect(same.body.detail).toContain("already exists with identical bytes: nothing needs to be done");
        expect(same.body.detail).toContain("?skip_existing=true");
        const other = await publish("two", query);
        expect([other.status, other.body.identical, other.body.sha256]).toEqual([409, false, first.body.sha256]);
        expect(other.body.detail).toContain("already exists with different bytes");
        expect(other.body.detail).toContain(fix);
        expect(other.body.detail).not.toContain("skip_existing");
      }
    });

    test("is skipped on request: the answer describes the stored file, and nothing changes", async () => {
      const first = await publish("one");
      const { channel_created: _, ...described } = first.body;
      await alice.put(`/api/packages/alice/generic/unrelated-${serial}/1/x`, text("x"));
      const before = [tables.dump(), await server.storedFiles()];
      for (const [content, identical] of [
        ["one", true],
        ["two", false],
      ] as const) {
        for (const query of ["?skip_existing=true", "?skip_existing", "?skip_existing=True&dry_run=1"]) {
          const again = await publish(content, query);
          expect(again.status).toBe(200);
          expect(again.body).toEqual({ ...described, similar_channels: undefined, skipped: true, identical });
          expect(again.headers.get("location")).toBe(String(first.body.url));
        }
      }
      expect([tables.dump(), await server.storedFiles()]).toEqual(before);
      expect(
        (await bytesOf(await server.anonymous.get(new URL(String(first.body.url)).pathname))).equals(bytes("one")),
      ).toBe(true);
      expect(server.log()).toContain('"result":"skipped"');
    });

    test("does not change a first publish that would skip it or require its absence", async () => {
      const skipping = await publish("one", "?skip_existing=true");
      expect([skipping.status, skipping.body.skipped, skipping.body.identical]).toEqual([201, undefined, undefined]);
      name = `${name}-b`;
      expect((await publish("one", "?dry_run=true", { "if-none-match": "*" })).status).toBe(200);
      expect((await publish("one", "", { "if-none-match": "*" })).status).toBe(201);
    });

    test("fails the precondition If-None-Match: *, also of a publish that would skip it", async () => {
      const first = await publish("one");
      const before = [tables.dump(), await server.storedFiles()];
      for (const query of ["", "?skip_existing=true", "?dry_run=true"]) {
        const refused = await publish("two", query, { "if-none-match": " * " });
        expect([refused.status, refused.body.filename, refused.body.sha256]).toEqual([
          412,
          first.body.filename,
          first.body.sha256,
        ]);
        expect(refused.body.detail).toContain("already exists, and the request has If-None-Match: *");
        expect(
          server
            .log()
            .trimEnd()
            .split("\n")
            .findLast((line) => line.includes('"event":"publish"')),
        ).toContain('"result":"conflict"');
      }
      expect((await publish("two", "", { "if-none-match": `"${String(first.body.sha256)}"` })).status).toBe(409);
      expect([tables.dump(), await server.storedFiles()]).toEqual(before);
    });

    test("stays unknown to those who have no right to publish", async () => {
      const first = await publish("one");
      const headers: Record<string, string>[] = [{}, { "if-none-match": "*" }];
      for (const [actor, status] of [
        [server.anonymous, 401],
        [server.as("bob"), 403],
      ] as const) {
        const answers = new Set<string>();
        for (const header of headers) {
          for (const query of ["", "?skip_existing=true"]) {
            const answer = await publish("one", query, header, actor);
            expect(answer.status).toBe(status);
            answers.add(JSON.stringify(answer.body));
          }
        }
        expect(answers.size).toBe(1);
        expect([...answers][0]).not.toContain(String(first.body.sha256));
      }
      const bound = { user: "alice", name: `bound ${serial}`, scopes: ["write:package"], packages: ["other-*"] };
      const token = server.withToken(await newToken(server.manage, bound));
      for (const header of headers) {
        const answer = await publish("one", "?skip_existing=true", header, token);
        expect([answer.status, answer.body.sha256]).toEqual([403, undefined]);
      }
    });

    test("is created once by many at the same time, and the others skip it or fail the precondition", async () => {
      for (const [query, header, status] of [
        ["?skip_existing=true", {}, 200],
        ["", { "if-none-match": "*" }, 412],
      ] as const) {
        name = `${name}-race`;
        const stored = await server.storedFiles();
        const audited = tables.audit().length;
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, at) => publish(`rival ${at}`, query, { ...header })),
        );
        const statuses = answers.map((answer) => answer.status);
        expect(statuses.toSorted()).toEqual([201, ...Array<number>(19).fill(status)].toSorted());
        const winner = answers.find((answer) => answer.status === 201)?.body;
        for (const { body } of answers) expect(body.sha256).toBe(winner?.sha256);
        for (const one of answers.filter((answer) => answer.status === 200)) {
          expect([one.body.skipped, one.body.identical, one.body.revision]).toEqual([true, false, winner?.revision]);
        }
        expect(tables.audit().length - audited).toBe(1);
        const added = (await server.storedFiles()).filter((file) => !stored.includes(file));
        expect(added.every((file) => file.endsWith(String(winner?.sha256)))).toBe(true);
      }
    });
  });
}

describe("a file that must not exist", () => {
  test.each([
    ["the form with a subdir", (one: string) => `/alice/main/noarch/${one}-1-0.conda`],
    ["the generic form", (one: string) => `/api/packages/alice/generic/${one}/1/file.bin`],
  ])("is found on %s before the body is read", async (_, path) => {
    const content = path(name).includes("generic") ? text(name) : conda(name, "one").bytes;
    expect((await alice.put(path(name), content)).status).toBe(201);
    let pulled = 0;
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      pulled += 1;
      controller.enqueue(new Uint8Array(1024));
    };
    const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
    const answer = await alice.put(path(name), body, { "if-none-match": "*" });
    expect([answer.status, answer.headers.get("connection"), pulled]).toEqual([412, "close", 0]);
  });
});

describe("skip_existing", () => {
  test("answers where the name is certain without an inspection, and elsewhere still refuses a broken package", async () => {
    const { bytes, fileName } = conda(name, "one");
    expect((await alice.put(`/alice/main/noarch/${fileName}`, bytes)).status).toBe(201);
    const certain = await alice.put(`/alice/main/noarch/${fileName}?skip_existing=true`, text("no package"));
    expect([certain.status, (await jsonOf<Body>(certain)).identical]).toEqual([200, false]);
    const open = await alice.put(`/api/packages/alice/conda/main/${fileName}?skip_existing=true`, text("no package"));
    expect(open.status).toBe(400);
    const hash = { "x-checksum-sha256": "0".repeat(64) };
    expect((await alice.put(`/alice/main/noarch/${fileName}?skip_existing=true`, bytes, hash)).status).toBe(422);
  });

  test("finds a file whose name differs in case, and names the stored one", async () => {
    const [lower, upper] = ["h1_a", "h1_A"].map((build) => buildPackage({ name, version: "1", build }));
    await alice.put(`/alice/main/noarch/${lower?.fileName}`, lower?.bytes ?? null);
    const answer = await alice.put(`/alice/main/noarch/${upper?.fileName}?skip_existing=true`, upper?.bytes ?? null);
    const body = await jsonOf<Body>(answer);
    expect([answer.status, body.filename, body.build, body.identical]).toEqual([200, lower?.fileName, "h1_a", false]);
  });

  test("returns the revision that published the file, not a later one", async () => {
    const [one, other] = [conda(name, "one"), conda(`${name}-later`, "two")];
    const first = await jsonOf<Body>(await alice.put(`/alice/revisions/noarch/${one.fileName}`, one.bytes));
    await Bun.sleep(5);
    await alice.put(`/alice/revisions/noarch/${other.fileName}`, other.bytes);
    const path = `/alice/revisions/noarch/${one.fileName}?skip_existing=true`;
    const again = await jsonOf<Body>(await alice.put(path, one.bytes));
    expect([first.revision, again.revision, again.published_at]).toEqual([1, 1, first.published_at]);
  });

  test("returns the findings that the stored file had", async () => {
    const { bytes } = conda(name, "one");
    const path = "/api/packages/alice/conda/main/renamed.conda";
    const first = await jsonOf<Body>(await alice.put(path, bytes));
    const again = await jsonOf<Body>(await alice.put(`${path}?skip_existing=true`, bytes));
    expect([(first.findings as unknown[]).length, again.findings]).toEqual([1, first.findings]);
  });

  test.each(["dry_run", "skip_existing"])(
    "and dry_run refuse a value that is neither true nor false: %s",
    async (flag) => {
      const before = tables.dump();
      for (const path of [`/alice/main/noarch/${name}-1-0.conda`, `/api/packages/alice/generic/${name}/1/x`]) {
        const answer = await alice.put(`${path}?${flag}=maybe`, conda(name, "one").bytes);
        const { detail } = await jsonOf<Body>(answer);
        expect([answer.status, detail]).toEqual([400, `${flag} must be true or false, for example ?${flag}=true.`]);
      }
      expect(tables.dump()).toBe(before);
    },
  );

  test("a generic dry run checks everything and stores nothing", async () => {
    const path = `/api/packages/alice/generic/${name}/1/x`;
    const before = [tables.dump(), await server.storedFiles()];
    const answer = await alice.put(`${path}?dry_run=true`, text("x"));
    expect([answer.status, (await jsonOf<Body>(answer)).revision]).toEqual([200, null]);
    expect([tables.dump(), await server.storedFiles()]).toEqual(before);
  });
});

test("a token bound to packages learns nothing of a file of another name that it uploads under an allowed one", async () => {
  const other = conda(name, "other");
  expect((await alice.put(`/alice/main/noarch/${other.fileName}`, other.bytes)).status).toBe(201);
  const bound = { user: "alice", name, scopes: ["write:package"], packages: ["allowed-*"] } as const;
  const token = server.withToken(await newToken(server.manage, bound));
  const before = [tables.dump(), await server.storedFiles()];
  const answer = await token.put("/api/packages/alice/conda/main/allowed-x-1-0.conda", other.bytes);
  expect([answer.status, (await bytesOf(answer)).toString().includes(other.sha256)]).toEqual([403, false]);
  expect([tables.dump(), await server.storedFiles()]).toEqual(before);
});
