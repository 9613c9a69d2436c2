// Asks a worker what a staged package is, within a time that grows with its size.

import { invalid, unavailable, type AppError } from "../../errors.ts";
import type { Clock } from "../../modules/clock.ts";
import type { ArchiveLimits, Inspection } from "../../modules/conda/archive.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import type { StagedFile } from "../staging.ts";
import type { Workers } from "../workers.ts";

export type AcceptedPackage = Extract<Inspection, { kind: "accepted" }>;

export type Inspect = (staged: StagedFile, fileName: string) => Promise<AcceptedPackage>;

export type InspectParts = { readonly workers: Workers; readonly limits: ArchiveLimits; readonly clock: Clock };

const BASE_MS = 10_000;
const BYTES_PER_MS = 5_000;

/** Errors of the returned function: `invalid` with the findings; `unavailable` when our own side failed. */
export function createInspect(parts: InspectParts): Inspect {
  return async (staged, fileName) => {
    const timeLimit = BASE_MS + staged.size / BYTES_PER_MS;
    const { limits, clock } = parts;
    const job = { kind: "inspect", path: staged.path, fileName, limits, now: clock.now() } as const;
    const outcome = await parts.workers.run(job, timeLimit);
    switch (outcome.kind) {
      case "inspected":
        if (outcome.inspection.kind === "refused") throw refusal(outcome.inspection.findings);
        return outcome.inspection;
      case "timed-out":
        throw refusal([tooExpensive(`Reading the package took longer than ${Math.ceil(timeLimit / 1000)} seconds.`)]);
      case "crashed":
        throw refusal([tooExpensive("Reading the package ended the process that read it.")]);
      case "document":
      case "shard":
      case "hashed":
      case "collected":
        throw new Error("a worker answered another question");
      case "failed":
        throw unavailable("The package could not be read because of a fault on the server.", 5, outcome.message);
    }
  };
}

/** The error for a refused package: the worst finding in words, all of them for machines. */
export function refusal(findings: readonly Finding[]): AppError {
  const worst = findings[0];
  const where = worst && worst.path !== "" ? ` (${worst.path})` : "";
  const more = findings.length > 1 ? ` And ${findings.length - 1} more finding(s).` : "";
  const detail = worst ? `${worst.message}${where} ${worst.fix} [${worst.rule}]${more}` : "The package is not valid.";
  return invalid(detail.slice(0, 500), { members: { findings } });
}

function tooExpensive(message: string): Finding {
  return {
    rule: "inspection-limit",
    level: "refused",
    path: "",
    message,
    fix: "Build the package anew with the usual tools; if it is honest, split it.",
  };
}
