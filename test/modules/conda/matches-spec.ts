// Whether a package of the spec's name matches: its version and its build.

import { buildMatcher, type MatchSpec } from "../../../src/modules/conda/match-spec.ts";
import { matchesVersion } from "../../../src/modules/conda/version-spec.ts";
import type { Version } from "../../../src/modules/conda/version.ts";

type Candidate = {
  readonly version: string;
  readonly parsedVersion: Version;
  readonly build: string;
  readonly buildNumber: number;
};

export function matchesSpec(spec: MatchSpec, candidate: Candidate): boolean {
  const { build, buildNumber, parsedVersion, version } = candidate;
  const isVersion = spec.version === undefined || matchesVersion(spec.version, parsedVersion, version);
  return isVersion && buildMatcher(spec)(build, buildNumber);
}
