import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { packageParts, tar, zstd, condaBytes } from "../../support/package-builder.ts";
import { useTempFolder } from "../archive/support.ts";

const MEBIBYTE = 1024 ** 2;
const folder = useTempFolder();

/** The additional memory of a process at its peak while it inspects the package. */
async function peakOf(bytes: Uint8Array): Promise<{ kind: string; grown: number }> {
  const path = `${folder.write(bytes)}-1-0.conda`;
  await Bun.write(path, bytes);
  const child = Bun.spawn([process.execPath, fileURLToPath(new URL("./peak-memory.ts", import.meta.url)), path]);
  return JSON.parse(await new Response(child.stdout).text());
}

test.skipIf(process.platform !== "linux")(
  "a small upload with very many members, paths.json entries or values is read in little memory",
  async () => {
    const members = Array.from({ length: 190_000 }, (_, at) => ({ path: `lib/d${at % 100}/${at.toString(36)}` }));
    const entries = Array.from({ length: 350_000 }, (_, at) => `{"_path":"lib/d${at % 100}/${at.toString(36)}"}`);
    const parts = packageParts({
      name: "many",
      version: "1",
      files: {},
      info: {
        "paths.json": `{"paths_version":1,"paths":[${entries.join(",")}]}`,
        "link.json": `{"noarch":{"entry_points":[${'"a = b:c",'.repeat(1_000_000)}""]}}`,
      },
    });
    const bytes = condaBytes({ stem: parts.stem, info: zstd(tar(parts.info)), payload: zstd(tar(members)) });
    const { kind, grown } = await peakOf(bytes);
    expect(kind).toBe("accepted");
    expect(grown).toBeLessThan(135 * MEBIBYTE);
  },
  60_000,
);
