import { describe, expect, test } from "bun:test";
import { startBusyTime } from "../../src/modules/clock.ts";
import { readField, readMultipart, readParts } from "../../src/modules/multipart.ts";
import { errorOf } from "./error-of.ts";

const TYPE = "multipart/form-data; boundary=edge";
const END = "--edge--\r\n";
const FILE = part('form-data; name="file"; filename="x.conda"', "content");

test.each([
  ["blanks behind the parameters", `form-data; name="a"${" ".repeat(15_000)}x`],
  ["blanks before a line end alone", `${" ".repeat(15_000)}form-data\nx`],
  ["a quote that is never closed", `form-data; name="${"a\\".repeat(7000)}`],
  ["many parameters", `form-data; name="a"${"; x=".repeat(3700)}`],
])("a form's header is parsed in time linear in its length: %s", async (_, disposition) => {
  const busy = startBusyTime();
  for (let count = 0; count < 100; count++) await errorOf(contentOf(cut(part(disposition, "1") + END, 1e6)));
  expect(busy()).toBeLessThan(1500);
});

describe("the file of a form", () => {
  test.each([
    ["with a file name", FILE],
    ["without one", part('form-data; name="file"', "content")],
    [
      "without one, under another name, with a type",
      part('form-data; name="pkg"', "content", "Content-Type: application/octet-stream"),
    ],
    [
      "with a name like a path, which is nobody's business",
      part('form-data; name="file"; filename="../../x"', "content"),
    ],
    ["with a name in the extended form", part("form-data; name=file; filename*=UTF-8''%e2%82%ac", "content")],
    ["among small fields", part('form-data; name="a"', "1") + FILE + part('form-data; name="b"', "2")],
    ["after blanks behind the boundary", FILE.replace("--edge", "--edge \t ")],
    ["with header names in any case", FILE.replace("Content-Disposition: ", "CONTENT-disposition:")],
    ["among as many parts as there may be", part('form-data; name="a"', "1").repeat(99) + FILE],
    ["after an empty line", `\r\n${FILE}`],
  ])("%s is read, however the bytes are split", async (_, parts) => {
    for (const end of [END, "--edge--", "--edge--\r\n\r\n"]) {
      for (const size of [1, 2, 3, 7, 64, 1e6]) {
        expect(await contentOf(cut(parts + end, size))).toBe("content");
      }
    }
  });

  test("keeps every byte, also those that look like a boundary", async () => {
    const tricks = ["\r\n--edg", "\r\n-", "--edge--", "\r\n--\r\n--edgx\r\n", "\n--edge\n", "\r\r\n", "\0\u00ff"].join(
      "|",
    );
    for (const content of ["", "\r\n", tricks, `${tricks}\r`, `${tricks}\r\n`]) {
      for (const size of [1, 2, 5, 1e6]) {
        const body = cut(part('form-data; name="file"', content) + END, size);
        expect(await contentOf(body)).toBe(content);
      }
    }
  });

  test("is read with a quoted boundary, or one of unusual characters", async () => {
    for (const boundary of ["a b'()+_,-./:=?c", "-".repeat(30), "x".repeat(70)]) {
      const body = (FILE + END).replaceAll("--edge", `--${boundary}`);
      for (const type of [
        `multipart/form-data; boundary="${boundary}"`,
        `Multipart/Form-Data;charset=x; BOUNDARY="${boundary}";`,
      ]) {
        expect(await contentOf(cut(body, 10), type)).toBe("content");
      }
    }
  });

  test("is read from a standard client's body", async () => {
    const form = new FormData();
    form.append("force", "true");
    form.append("file", new Blob([new Uint8Array(200_000).fill(7)]), 'we"ird\r\n.conda');
    const sent = new Response(form);
    // Bun drops the type once the body has been requested.
    const type = sent.headers.get("content-type") ?? "";
    if (!sent.body) throw new Error("a form has a body");
    let size = 0;
    for await (const chunk of readMultipart(sent.body, type)) {
      expect(chunk.every((byte) => byte === 7)).toBe(true);
      size += chunk.byteLength;
    }
    expect(size).toBe(200_000);
  });

  test("is read no further than the consumer has requested", async () => {
    let given = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\n');
      for (; given < 1000; given++) yield new Uint8Array(64 * 1024);
      yield Buffer.from(`\r\n${END}`);
    }
    const content = readMultipart(source(), TYPE);
    for (let count = 0; count < 5; count++) await content.next();
    expect(given).toBeLessThan(7);
    await content.return(undefined);
    await Bun.sleep(1);
    expect(given).toBeLessThan(7);
  });
});

describe("the form parser", () => {
  test.each([
    ["an empty body", ""],
    ["a form of no part", END],
    ["a form of no file", part('form-data; name="a"', "1") + END],
    ["two files", FILE + FILE + END],
    ["another boundary than announced", (FILE + END).replaceAll("--edge", "--other")],
    ["a body cut in its headers", FILE.slice(0, 20)],
    ["a body cut in its content", FILE.slice(0, -4)],
    ["a body cut before its last boundary", FILE],
    ["a body cut in its last boundary", `${FILE}--edge-`],
    ["something before the first part", `x\r\n${FILE}${END}`],
    ["something after the end", `${FILE}${END}x`],
    ["a part after the end", FILE + END + part('form-data; name="b"', "2") + END],
    ["something behind a boundary", FILE.replace("--edge", "--edgex") + END],
    ["line feeds alone", (FILE + END).replaceAll("\r\n", "\n")],
    ["a part without headers", `--edge\r\n\r\nx\r\n${END}`],
    ["a part without a disposition", `--edge\r\nContent-Type: text/plain\r\n\r\nx\r\n${END}`],
    ["a part without a name", part('form-data; filename="x"', "x") + END],
    ["an attachment", part('attachment; name="file"', "x") + END],
    ["two dispositions", part('form-data; name="a"\r\nContent-Disposition: form-data; name="file"', "x") + END],
    ["a name twice", part('form-data; name="a"; name="file"', "x") + END],
    ["a broken parameter", part('form-data; name="file', "x") + END],
    ["a folded header", part('form-data;\r\n name="file"', "x") + END],
    ["a header without a colon", part('form-data; name="file"', "x", "nonsense") + END],
    ["a form in the form", part('form-data; name="file"', "x", "Content-Type: multipart/mixed; boundary=n") + END],
    ["base64", part('form-data; name="file"', "eA==", "Content-Transfer-Encoding: base64") + END],
    ["headers without end", part('form-data; name="file"', "x", `X: ${"y".repeat(20_000)}`) + END],
    ["many headers", part('form-data; name="file"', "x", "X: y\r\n".repeat(5000) + "Z: z") + END],
    ["many parts", part('form-data; name="a"', "1").repeat(100) + FILE + END],
    ["a large field", part('form-data; name="a"', "1".repeat(70_000)) + FILE + END],
  ])("refuses %s", async (_, body) => {
    for (const size of body.length < 1000 ? [1, 50, 1e6] : [1000, 1e6]) {
      expect(await errorOf(contentOf(cut(body, size)))).toMatchObject({ code: "malformed" });
    }
  });

  test.each([
    "",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    'multipart/form-data; boundary=""',
    `multipart/form-data; boundary=${"x".repeat(71)}`,
    'multipart/form-data; boundary="edge "',
    "multipart/form-data; boundary=edge; boundary=other",
    "multipart/form-data; boundary=ed*ge",
    "multipart/mixed; boundary=edge",
    "multipart/form-datax; boundary=edge",
    'text/plain; x="multipart/form-data; boundary=edge"',
  ])("refuses the content type %j", async (type) => {
    expect(await errorOf(contentOf(cut(FILE + END, 1e6), type))).toMatchObject({ code: "malformed" });
  });

  test("refuses a large field before it has read all of it, and a name inside a quoted value", async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n');
      for (; given < 1000; given++) yield new Uint8Array(64 * 1024);
    }
    expect(await errorOf(contentOf(endless()))).toMatchObject({ code: "malformed" });
    expect(given).toBeLessThan(4);
    const [only] = await partsOf(part('form-data; filename="a; name=evil"; name="file"', "x") + END);
    expect(only).toMatchObject({ name: "file", fileName: "a; name=evil" });
  });

  test("passes on the connection's own error", async () => {
    const gone = new DOMException("The connection was closed.", "AbortError");
    async function* cutOff(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(FILE.slice(0, -4));
      throw gone;
    }
    expect(await errorOf(contentOf(cutOff()))).toBe(gone);
  });
});

describe("the parts of a form", () => {
  test("arrive in order with their names, and a part that the consumer leaves is skipped", async () => {
    const body = part('form-data; name="a"', "one") + FILE + part('form-data; name="__proto__"', "two") + END;
    expect(await partsOf(body)).toEqual([
      { name: "a", fileName: undefined, isFile: false, text: "one" },
      { name: "file", fileName: "x.conda", isFile: true, text: "content" },
      { name: "__proto__", fileName: undefined, isFile: false, text: "two" },
    ]);
    const names: string[] = [];
    for await (const { name, chunks } of readParts(cut(body, 3), TYPE)) {
      names.push(name);
      if (name === "file") for await (const _ of chunks) break;
    }
    expect(names).toEqual(["a", "file", "__proto__"]);
  });
});

function part(disposition: string, content: string, ...headers: string[]): string {
  const lines = [`Content-Disposition: ${disposition}`, ...headers].map((line) => `${line}\r\n`).join("");
  return `--edge\r\n${lines}\r\n${content}\r\n`;
}

/** The text as bytes, one for each character. */
async function* cut(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.byteLength; at += size) yield new Uint8Array(bytes.subarray(at, at + size));
}

async function contentOf(body: AsyncIterable<Uint8Array>, type = TYPE): Promise<string> {
  return Buffer.concat(await Array.fromAsync(readMultipart(body, type))).toString("latin1");
}

async function partsOf(body: string): Promise<object[]> {
  const found: object[] = [];
  for await (const { chunks, ...rest } of readParts(cut(body, 5), TYPE)) {
    found.push({ ...rest, text: await readField({ ...rest, chunks }) });
  }
  return found;
}
