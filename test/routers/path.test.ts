// The splitter alone, with random paths; then the server with odd paths on a real socket, because a URL class would
// normalize them.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { isReservedName } from "../../src/modules/conda/channel-name.ts";
import { isOwnerName } from "../../src/modules/owner-name.ts";
import { splitToken } from "../../src/routers/raw-path.ts";
import {
  deleteTarget,
  parseCondaPath,
  publishTarget,
  readTarget,
  type CondaPath,
} from "../../src/routers/conda/path.ts";
import { basic, PASSWORD } from "../support/app.ts";
import { listen, type Listening } from "../support/listening.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { exchange, openSocket, requestText } from "../support/raw-socket.ts";

/** Text that people and attackers write into a path. */
const fragment = fc.oneof(
  fc.constantFrom(
    ..."/ // /./ /../ . .. ... %2e %2e%2e %252e%252e ..%2f %2F %5c \\ %00 %ff %zz % %2 %c0%af %c1%9c %e2%80%a8".split(
      " ",
    ),
    ..."%0d%0a %7f %c2%85 ; # ? & = : @ + %2B ! %21 ~ t api packages conda get noarch linux-64 test-channel".split(" "),
    ..."alice main p-1-0.conda p-1-0.tar.bz2 info shards repodata.json channeldata.json %61lice -".split(" "),
    "\u0000",
    "\u2028",
    " ",
  ),
  fc.string({ maxLength: 8 }),
  fc.string({ unit: "binary", maxLength: 4 }),
);
const anyPath = fc.array(fragment, { maxLength: 14 }).map((parts) => `/${parts.join("")}`);
const likelyPath = fc.tuple(
  fc.constantFrom("/api/packages/alice/conda/", "/get/alice/", "/alice/"),
  fc.array(fragment, { minLength: 1, maxLength: 6 }),
);
const hostilePath = fc.oneof(
  anyPath,
  likelyPath.map(([root, parts]) => root + parts.join("/")),
);

/** Text that is allowed in a segment, including the characters of versions that need escaping. */
const segment = fc
  .string({ unit: fc.constantFrom(..."abcz019._-+!~ é%&=;,@:".split("")), minLength: 1, maxLength: 12 })
  .filter((text) => text !== "." && text !== "..");
const segments = fc.array(segment, { minLength: 1, maxLength: 5 });
const owner = fc
  .stringMatching(/^[a-z0-9][a-z0-9_]{0,6}$/)
  .filter((name) => isOwnerName(name) && !isReservedName(name, "owner"));
/** The ways in which a client can write one character. */
const writer = fc.constantFrom(
  (character: string) => encodeURIComponent(character),
  (character: string) => (/[%\s]|[^ -~]/.test(character) ? encodeURIComponent(character) : character),
  (character: string) => [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
);

describe("a path below an owner", () => {
  test("never contains a separator, a control character or a dot segment, whatever was sent", () => {
    let understood = 0;
    const holds = (path: string): void => {
      const parsed = parseCondaPath(path, "alice");
      if (!parsed) return;
      understood += 1;
      for (const part of [parsed.owner, ...parsed.rest]) {
        expect(part).not.toMatch(/[/\\\p{Cc}]|^\.{0,2}$/u);
      }
    };
    fc.assert(fc.property(hostilePath, holds), { numRuns: 5000 });
    // A splitter that parses nothing would pass too.
    expect(understood).toBeGreaterThan(200);
  });

  test("is the same in each of its forms, however its characters are escaped", () => {
    fc.assert(
      fc.property(owner, segments, fc.array(writer, { minLength: 1 }), (name, rest, writers) => {
        const write = (text: string): string =>
          Array.from(text)
            .map((character, at) => (writers[at % writers.length] ?? encodeURIComponent)(character))
            .join("");
        const tail = rest.map(write).join("/");
        const expected = { owner: name, rest };
        expect(parse(`/api/packages/${name}/conda/${tail}`)).toEqual(expected);
        expect(parse(`/${name}/${tail}`)).toEqual(expected);
      }),
    );
  });

  test("is decoded once, not twice", () => {
    expect(parseCondaPath("/alice/%252e%252e/x", undefined)?.rest).toEqual(["%2e%2e", "x"]);
    expect(parseCondaPath("/alice/a%252Fb", undefined)?.rest).toEqual(["a%2Fb"]);
  });

  test.each([
    "/alice",
    "/alice/",
    "/alice//x",
    "/alice/x/",
    "/api/packages/alice/conda",
    "/api/packages/alice/npm/x",
    "/api/alice/conda/x",
    "/t/x/y",
    "/get/x",
    "/noarch/x",
    "/Alice!/x",
    "/a.json/x",
    "/alice/%",
    "/alice/%c0%af",
    "",
    "/",
  ])("is not found in %j", (path) => expect(parseCondaPath(path, undefined)).toBeUndefined());

  test("in Quetz's form has the default owner exactly when one segment names the channel", () => {
    const rest = ["main", "noarch", "repodata.json"];
    expect(parse("/get/main/noarch/repodata.json", "alice")).toEqual({ owner: "alice", rest });
    expect(parse("/get/main/channeldata.json", "alice")).toMatchObject({ rest: ["main", "channeldata.json"] });
    expect(parse("/get/bob/main/noarch/repodata.json", "alice")).toEqual({ owner: "bob", rest });
    expect(parseCondaPath("/get/main/noarch/repodata.json", undefined)).toBeUndefined();
  });
});

describe("a token in the path", () => {
  test("is taken off the front, and the rest is unchanged", () => {
    fc.assert(
      fc.property(segment, hostilePath, (token, path) => {
        expect(splitToken(`/t/${encodeURIComponent(token)}${path}`)).toEqual({ token, path });
      }),
    );
    fc.assert(
      fc.property(
        hostilePath.filter((path) => !path.startsWith("/t/")),
        (path) => expect(splitToken(path)).toEqual({ token: undefined, path }),
      ),
    );
  });

  test("is only the first one: what follows it is no channel of an owner named t", () => {
    const { token, path } = splitToken("/t/one/t/two/alice/x");
    expect([token, path]).toEqual(["one", "/t/two/alice/x"]);
    expect(parseCondaPath(path, undefined)).toBeUndefined();
  });

  test.each([
    ["/t//alice/x", "/alice/x"],
    ["/t/a%2Fb/alice/x", "/alice/x"],
    ["/t/%zz/alice/x", "/alice/x"],
    ["/t/..", "/"],
  ])("is invalid, and not absent, in %j", (path, rest) => {
    expect(splitToken(path)).toEqual({ token: "", path: rest });
  });
});

describe("the target of a path", () => {
  test("consists of the path's own segments, for every path", async () => {
    await fc.assert(
      fc.asyncProperty(hostilePath, fc.boolean(), async (path, exists) => {
        const parsed = parseCondaPath(path, "alice");
        if (!parsed) return;
        const whole = parsed.rest.join("/");
        const read = readTarget(parsed);
        expect(whole).toStartWith(read.channel);
        if (read.kind === "subdir-file") expect(joined(read.channel, read.subdir, read.file)).toBe(whole);
        if (read.kind === "channel-file") expect(joined(read.channel, read.file)).toBe(whole);
        const publish = await publishTarget(parsed, { subdirs: [], isChannel: () => Promise.resolve(exists) });
        expect(joined(publish.channel, publish.subdir, publish.file)).toBe(whole);
        const removal = deleteTarget(parsed);
        if (removal) expect(joined(removal.channel, removal.subdir, removal.file)).toBe(whole);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["main/channeldata.json", { kind: "channel-file", channel: "main", file: "channeldata.json" }],
    ["rss.xml", { kind: "channel-file", channel: "", file: "rss.xml" }],
    ["a/b/noarch/x.conda", { kind: "subdir-file", channel: "a/b", subdir: "noarch", file: "x.conda" }],
    ["noarch/repodata.json", { kind: "subdir-file", channel: "", subdir: "noarch", file: "repodata.json" }],
    ["main/x.conda", { kind: "unknown", channel: "main" }],
    ["main/noarch/x.conda/info/index.json", { kind: "unknown", channel: "main" }],
    ["main/noarch/x.conda/info/a/channeldata.json/y", { kind: "unknown", channel: "main" }],
  ])("is read from %s", (rest, target) => expect(readTarget(pathOf(rest))).toMatchObject(target));

  const channels = ["", "test-channel", "dev", "dev/my-arch"];
  test.each([
    ["x.conda", "", undefined],
    ["main/x.conda", "main", undefined],
    ["noarch/x.conda", "", "noarch"],
    ["main/linux-64/x.conda", "main", "linux-64"],
    ["main/plan9-64/x.conda", "main", "plan9-64"],
    // Only looks like a subdir: the existing channels decide.
    ["test-channel/x.conda", "test-channel", undefined],
    ["new-channel/x.conda", "new-channel", undefined],
    ["dev/odd-arch/x.conda", "dev", "odd-arch"],
    ["dev/my-arch/x.conda", "dev/my-arch", undefined],
    ["none/odd-arch/x.conda", "none/odd-arch", undefined],
    ["dev/Odd-Arch/x.conda", "dev/Odd-Arch", undefined],
  ])("of a publish of %s is the channel %j and the subdir %j", async (rest, channel, subdir) => {
    const isChannel = (name: string): Promise<boolean> => Promise.resolve(channels.includes(name));
    const target = await publishTarget(pathOf(rest), { subdirs: ["plan9-64"], isChannel });
    expect(target).toEqual({ channel, subdir, file: "x.conda" });
  });
});

describe("a path with something inserted on the wire", () => {
  const ALICE = basic("alice", PASSWORD);
  const built = buildPackage({ name: "there", version: "1" });
  const ways = [`/api/packages/alice/conda/hidden/noarch/${built.fileName}`, `/alice/hidden/noarch/${built.fileName}`];
  const odd = (
    ".. ../.. %2e%2e ..%2f %2e%2e%2f%2e%2e %252e%252e . \\ ..\\ %5c..%5c %2f %00 %0d%0a %ff %zz % %c0%af %e2%80%ae " +
    "%u002e x. x%20 ;x x;y=z # %23 ? %3f * ..; blobs condarium.db t t/t -"
  ).split(" ");
  const all = [...targets()];

  let server: Listening;
  beforeAll(async () => {
    server = await listen();
    await server.addUser("alice");
    await server.manage.channels.create({ owner: "alice", channel: "hidden" }, { visibility: "private" });
    expect((await server.publish("alice", "/api/packages/alice/conda/hidden", built)).status).toBe(201);
  });
  afterAll(() => server.stop());

  // 505 is for a space, which ends the target before the version.
  const refusals: unknown[] = [400, 401, 403, 404, 505];

  test.each(["GET", "HEAD", "DELETE"])("reveals nothing to a stranger by %s", async (method) => {
    const found = await answers(method, {});
    expect(found.filter(({ status }) => !refusals.includes(status))).toEqual([]);
    expect((await exchange(server.port, requestText(`GET ${ways[0]}`, ALICE)))?.status).toBe(200);
  });

  test("gives its owner exactly that package or nothing", async () => {
    const bytes = Buffer.from(built.bytes).toString("latin1");
    const served = (await answers("GET", ALICE)).filter(({ status }) => !refusals.includes(status));
    expect(served.filter(({ status, body }) => status !== 200 || body !== bytes)).toEqual([]);
    // Some are the address itself, after dot segments are resolved.
    expect(served.length).toBeGreaterThan(0);
  });

  test("is refused for a publish", async () => {
    const before = await server.stored();
    const found = await answers("PUT", { ...ALICE, "content-length": "0" });
    expect(found.filter(({ status }) => !refusals.includes(status))).toEqual([]);
    expect(await server.stored()).toEqual(before);
  });

  test("is accepted with one complete token at the front only", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "path" });
    const statusOf = async (path: string) => (await exchange(server.port, requestText(`GET ${path}`)))?.status;
    for (const way of ways) {
      expect(await statusOf(`/t/${token}${way}`)).toBe(200);
      for (const front of ["/t", "/t/", `/t/t/${token}`, `/t/${token}/t/${token}`, `/t/${token}%2F`, `/T/${token}`]) {
        expect(refusals).toContain(await statusOf(front + way));
      }
      expect(refusals).toContain(await statusOf(`${way}/t/${token}`));
    }
    expect(server.log()).not.toContain(token);
  });

  /** The odd text in place of each segment, and before each. */
  function* targets(): Generator<string> {
    for (const way of ways) {
      const names = way.split("/").slice(1);
      for (const [at] of names.entries()) {
        for (const text of ["", ...odd]) {
          const [replaced, inserted] = [names.toSpliced(at, 1, text), names.toSpliced(at, 0, text)];
          // `/?…` is the page at the root.
          for (const parts of [replaced, inserted]) if (parts[0] !== "?") yield `/${parts.join("/")}`;
        }
      }
      yield* [`${way}/`, `/${way}`, way.toUpperCase(), `/t${way}`, `/t/${way}`, `/t/x${way}`, `/alice/ ${way}`];
    }
  }

  /** Every target on one connection, which is reopened where a response has closed it. */
  async function answers(method: string, headers: Record<string, string>) {
    const found: { target: string; status: number | undefined; body: string }[] = [];
    let socket = await openSocket(server.port);
    const ask = async (target: string) => {
      await socket.send(requestText(`${method} ${target}`, headers));
      return await socket.answer({ head: method === "HEAD" });
    };
    for (const target of all) {
      let answer = await ask(target);
      if (!answer) {
        socket = await openSocket(server.port);
        answer = await ask(target);
      }
      found.push({ target, status: answer?.status, body: answer?.body ?? "" });
    }
    socket.close();
    expect(found.length).toBeGreaterThan(500);
    return found;
  }
});

function parse(path: string, defaultOwner?: string): unknown {
  return parseCondaPath(path, defaultOwner);
}

function pathOf(rest: string): CondaPath {
  const [head = "", ...tail] = rest.split("/");
  return { owner: "alice", rest: [head, ...tail] };
}

function joined(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== "").join("/");
}
