// Real packages, built by rattler-build once and kept.

import { join } from "node:path";

import { z } from "zod";

import { cachedFolder } from "./cache.ts";
import { python } from "./clients.ts";

export type RealPackage = z.infer<typeof realPackage> & { readonly path: string; readonly fileName: string };

export type RealPackages = {
  readonly all: readonly RealPackage[];
  /** The package `name` or `name=version`, by default of the newest version and as `.conda`. */
  find(spec: string, format?: RealPackage["format"]): RealPackage;
};

const realPackage = z.object({
  file: z.string(),
  name: z.string(),
  version: z.string(),
  build: z.string(),
  subdir: z.string(),
  format: z.enum(["conda", "tar.bz2"]),
});

export async function realPackages(): Promise<RealPackages> {
  const recipes = await Bun.file(join(import.meta.dir, "python/build_packages.py")).text();
  const requirements = await Bun.file(join(import.meta.dir, "requirements.txt")).text();
  const folder = await cachedFolder("packages", [recipes, requirements], async (draft) => {
    const built = await python("build_packages.py", [draft], z.array(realPackage));
    await Bun.write(join(draft, "built.json"), JSON.stringify(built));
  });
  const built = z.array(realPackage).parse(await Bun.file(join(folder, "built.json")).json());
  const all = built.map((one) => ({
    ...one,
    path: join(folder, one.file),
    fileName: `${one.name}-${one.version}-${one.build}.${one.format}`,
  }));
  return {
    all,
    find: (spec, format = "conda") => {
      const [name, version] = spec.split("=");
      const found = all.findLast(
        (one) => one.name === name && one.format === format && (version ?? one.version) === one.version,
      );
      if (found === undefined) throw new Error(`no package ${spec} as ${format} was built`);
      return found;
    },
  };
}
