// Generates the files of a large channel in publish order, realistic enough to compress like real ones.

import type { PackageMetadata } from "../../../src/modules/conda/archive.ts";
import { canonicalRecord } from "../../../src/modules/conda/record.ts";
import type { NewFile } from "../../../src/services/packages.ts";
import { createRandom, type Random } from "./random.ts";

export const SUBDIR = "linux-64";

/** conda-forge has 600,000 records of 31,000 names in this subdir. */
const RECORDS_PER_NAME = 19.4;
/** A few names have thousands of records, most a handful: the number is the rank of a name to this power. */
const STEEPNESS = -0.8;
const MOST_OF_A_NAME = 4000;
const PYTHONS = ["39", "310", "311", "312", "313"];
const SYLLABLES = "al ba cor de en fi gra hy io jas ki lib mo net op py qua re sci ten ur va web xa yo zi".split(" ");
const LICENSES = ["MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0-or-later", "LGPL-2.1-or-later", "MIT OR Apache-2.0"];

/** A name, and its files that are not generated yet. */
type Project = {
  readonly name: string;
  readonly depends: readonly string[];
  readonly license: string;
  /** One for each build of the version. */
  readonly pythons: readonly (string | undefined)[];
  readonly isLibrary: boolean;
  left: number;
  versions: number;
};

/** The same files each time, and exactly this many. */
export function* channelFiles(records: number): Generator<NewFile, void, undefined> {
  const random = createRandom(1);
  const names = namesOf(random, Math.ceil(records / RECORDS_PER_NAME));
  const projects = countsOf(names.length, records).map((left, at) => projectOf(random, names, at, left));
  for (const at of random.shuffle(releasesOf(projects))) {
    const project = projects[at];
    if (project) yield* releaseOf(random, project);
  }
}

function namesOf(random: Random, count: number): string[] {
  const names = new Set<string>();
  const word = (): string => Array.from({ length: 2 + random.below(3) }, () => random.pick(SYLLABLES)).join("");
  for (let tries = 0; names.size < count && tries < 100 * count; tries += 1)
    names.add(random.below(3) === 0 ? `${word()}-${word()}` : word());
  return [...names];
}

/** The number of records of each name. */
function countsOf(names: number, records: number): number[] {
  const weights = Array.from({ length: names }, (_, rank) => ((rank + 0.5) / names) ** STEEPNESS);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const counts = weights.map((weight) => Math.min(MOST_OF_A_NAME, Math.max(1, Math.floor((weight * records) / sum))));
  let left = records - counts.reduce((total, count) => total + count, 0);
  for (let at = 0; left > 0; at = (at + 1) % names, left -= 1) counts[at] = (counts[at] ?? 0) + 1;
  return counts;
}

function projectOf(random: Random, names: readonly string[], at: number, left: number): Project {
  const kind = random.below(3);
  return {
    name: names[at] ?? "",
    depends: Array.from({ length: 2 + random.below(6) }, () => random.pick(names)),
    license: random.pick(LICENSES),
    pythons: kind > 0 ? PYTHONS : Array.from({ length: 1 + random.below(3) }, () => undefined),
    isLibrary: kind === 0,
    left,
    versions: 0,
  };
}

/** The project's URL, once for each version that it will have. */
function releasesOf(projects: readonly Project[]): Uint32Array {
  const versions = projects.map(({ left, pythons }) => Math.ceil(left / pythons.length));
  const releases = new Uint32Array(versions.reduce((total, count) => total + count, 0));
  let end = 0;
  for (const [at, count] of versions.entries()) releases.fill(at, end, (end += count));
  return releases;
}

function* releaseOf(random: Random, project: Project): Generator<NewFile, void, undefined> {
  const { versions } = project;
  const version = `${1 + Math.floor(versions / 10)}.${versions % 10}.${random.below(4)}`;
  const depends = project.depends.map((name) => dependsOn(random, name));
  for (const [buildNumber, python] of project.pythons.entries()) {
    if (project.left === 0) return;
    project.left -= 1;
    yield fileOf(random, project, { version, depends, python, buildNumber });
  }
  project.versions += 1;
}

type Build = {
  readonly version: string;
  readonly depends: readonly string[];
  readonly python: string | undefined;
  readonly buildNumber: number;
};

function fileOf(random: Random, { name, license, isLibrary }: Project, made: Build): NewFile {
  const { version, python, buildNumber } = made;
  const build = `${python === undefined ? "" : `py${python}`}h${random.hex(7)}_${buildNumber}`;
  const index = {
    arch: "x86_64",
    build,
    build_number: buildNumber,
    depends: ["__glibc >=2.17,<3.0.a0", "libgcc >=13", "libstdcxx >=13", ...made.depends, ...pinsOf(python)],
    license,
    license_family: license.split("-")[0],
    name,
    platform: "linux",
    subdir: SUBDIR,
    timestamp: 1_700_000_000_000 + random.below(50_000_000_000),
    version,
  };
  const metadata: PackageMetadata & { findings: [] } = {
    about: { summary: `What ${name} is for, in a line.` },
    runExports: isLibrary ? { weak: [`${name} >=${version},<${Number.parseInt(version, 10) + 1}.0a0`] } : {},
    flags: [],
    findings: [],
  };
  return {
    packageName: name,
    version,
    section: SUBDIR,
    fileName: `${name}-${version}-${build}.conda`,
    record: canonicalRecord(index),
    metadata: JSON.stringify(metadata),
    properties: [{ name: "conda.build", value: build }],
    blob: { sha256: random.hex(64), md5: random.hex(32), size: 10_000 + random.below(5_000_000) },
  };
}

function pinsOf(python: string | undefined): string[] {
  if (python === undefined) return [];
  const minor = Number(python.slice(1));
  return [`python >=3.${minor},<3.${minor + 1}.0a0`, `python_abi 3.${minor}.* *_cp${python}`];
}

function dependsOn(random: Random, name: string): string {
  const [major, minor] = [random.below(5), random.below(20)];
  return random.below(3) === 0 ? name : `${name} >=${major}.${minor}.${random.below(5)},<${major + 1}.0a0`;
}
