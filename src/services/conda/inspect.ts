// Asks a worker what a staged package is, within a time that grows with its size.

import { invalid, unavailable, type AppError } from "../../errors.ts";
import type { Clock } from "../../modules/clock.ts";
import type { ArchiveLimits, Inspection } from "../../modules/conda/archive.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import type { FairTurns } from "../../modules/fair-turns.ts";
import type { StagedFile } from "../staging.ts";
import type { Workers } from "../workers.ts";

export type AcceptedPackage = Extract<Inspection, { kind: "accepted" }>;

/** `account` is whose turn it takes. */
export type Inspect = (staged: StagedFile, fileName: string, account: string) => Promise<AcceptedPackage>;

export type InspectJobs = {
  readonly inspect: {
    readonly input: {
      readonly path: string;
      readonly fileName: string;
      readonly limits: ArchiveLimits;
      /** ms UTC, to tell a timestamp of the future. */
      readonly now: number;
    };
    readonly answer: Inspection;
  };
};

export type InspectParts = {
  readonly workers: Pick<Workers<InspectJobs>, "run">;
  readonly turns: FairTurns;
  readonly limits: ArchiveLimits;
  readonly clock: Clock;
  /** For the turn and the reading together. */
  readonly patienceMs: number;
};

/** Errors of the returned function: `invalid` with the findings; `unavailable` when our own side failed or is busy. */
export function createInspect(parts: InspectParts): Inspect {
  const { limits, clock, workers, turns, patienceMs } = parts;
  return async (staged, fileName, account) => {
    const started = clock.elapsed();
    const outcome = await turns.run(account, async () => {
      const job = { kind: "inspect", path: staged.path, fileName, limits, now: clock.now() } as const;
      const read = () => workers.run(job, Math.max(0, patienceMs - (clock.elapsed() - started)));
      const first = await read();
      // A thread also ends for want of file handles or memory: only a package that ends a second one is to blame.
      return first.kind === "crashed" ? await read() : first;
    });
    switch (outcome.kind) {
      case "done":
        if (outcome.answer.kind === "refused") throw refusal(outcome.answer.findings);
        return outcome.answer;
      case "timed-out":
        // The worker itself refuses what takes too much of a processor: this was the load of the machine.
        throw unavailable("The server is too busy to read the package now. Send it again later.", 60);
      case "crashed":
        throw refusal([tooExpensive("Reading the package ended the process that read it.")]);
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
