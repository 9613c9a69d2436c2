import { describe, expect, test } from "bun:test";

import { z } from "zod";

import { haveClients, python } from "./clients.ts";
import { useScene } from "./scene.ts";

const index = z.looseObject({ name: z.string(), version: z.string() });
const read = z.object({
  streaming: z.object({
    index,
    answers: z.array(z.object({ range: z.string().nullable(), status: z.number(), length: z.number() })),
  }),
  rattler: z.object({ index, access: z.string() }),
});

describe.skipIf(!(await haveClients()))("reading metadata of a remote package", () => {
  const scene = useScene(async (opened) => {
    await opened.publish("main", ...opened.packages.all);
  });

  test("fetches a small part of a large .conda by ranges", async () => {
    const { seen, size } = await lazily("weather-data", "conda");
    expect(seen.streaming.answers.map(({ status }) => status)).toEqual(seen.streaming.answers.map(() => 206));
    const taken = seen.streaming.answers.reduce((sum, { length }) => sum + length, 0);
    expect(taken).toBeLessThan(size / 10);
    expect(seen.rattler.access).toBe("sparse");
  });

  test("works on a .conda smaller than the requested range", async () => {
    const { seen, size } = await lazily("greeter", "conda");
    expect(seen.streaming.answers).toEqual([{ range: "bytes=-10240", status: 206, length: size }]);
    expect(seen.rattler.access).toBe("sparse");
  });

  test("streams a .tar.bz2 from its start", async () => {
    const { seen, size } = await lazily("weather-data", "tar.bz2");
    expect(seen.streaming.answers).toEqual([{ range: null, status: 200, length: size }]);
  });

  async function lazily(
    name: string,
    format: "conda" | "tar.bz2",
  ): Promise<{ seen: z.infer<typeof read>; size: number }> {
    const one = scene().packages.find(name, format);
    const seen = await python("lazy_read.py", [`${scene().channel("main")}/${one.subdir}/${one.fileName}`], read);
    for (const { index: found } of [seen.streaming, seen.rattler]) {
      expect(found).toMatchObject({ name, version: one.version, build: one.build, subdir: one.subdir });
    }
    return { seen, size: Bun.file(one.path).size };
  }
});
