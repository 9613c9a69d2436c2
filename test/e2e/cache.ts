// Folders that are built once and kept in `.cache/` of the checkout.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const CACHE = join(import.meta.dir, "../../.cache");

/** The folder `name-<hash of the key>`; another key gives another folder. It appears complete or not at all. */
export async function cachedFolder(
  name: string,
  key: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(key.join("\0")).digest("hex").slice(0, 16);
  const folder = join(CACHE, `${name}-${hash}`);
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const draft = await mkdtemp(join(CACHE, `.${name}-`));
  try {
    await make(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // A concurrent run was possibly faster.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}
