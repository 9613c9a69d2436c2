// Inspects a staged package in a worker; the time limit grows with the size of the package.

import { invalid, unavailable, type AppError } from "../../errors.ts";
import type { Clock } from "../../modules/clock.ts";
import type { ArchiveLimits, Inspection } from "../../modules/conda/archive.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import type { FairTurns } from "../../modules/fair-turns.ts";
import type { StagedFile } from "../staging.ts";
import { errorOf } from "../worker-failures.ts";
import type { Workers } from "../workers.ts";

export type AcceptedPackage = Extract<Inspection, { kind: "accepted" }>;

/** `account` is the account whose turn the inspection uses. */
export type Inspect = (staged: StagedFile, fileName: string, account: string) => Promise<AcceptedPackage>;

export type InspectJobs = {
  readonly inspect: {
    readonly input: {
      readonly path: string;
      readonly fileName: string;
      readonly limits: ArchiveLimits;
      /** ms UTC, to detect a timestamp in the future. */
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
  /** Time limit for the wait and the inspection together, in ms. */
  readonly patienceMs: number;
};

const NOT_INSPECTED = "The server failed to inspect the package. Upload it again later.";

/** Errors of the returned function: `invalid` with the findings; `unavailable` when the server failed or is busy. */
export function createInspect(parts: InspectParts): Inspect {
  const { limits, clock, workers, turns, patienceMs } = parts;
  return async (staged, fileName, account) => {
    const started = clock.elapsed();
    const outcome = await turns.run(account, async () => {
      const job = { kind: "inspect", path: staged.path, fileName, limits, now: clock.now() } as const;
      const read = () => workers.run(job, Math.max(0, patienceMs - (clock.elapsed() - started)));
      const first = await read();
      // A thread also crashes without file handles or memory: only a second crash is blamed on the package.
      return first.kind === "crashed" || first.kind === "failed" ? await read() : first;
    });
    switch (outcome.kind) {
      case "done":
        if (outcome.answer.kind === "refused") throw refusal(outcome.answer.findings);
        return outcome.answer;
      case "timed-out":
        // The worker itself refuses packages that need too much CPU time: the cause here is the load of the machine.
        throw unavailable("The server is too busy to inspect the package. Upload it again later.", 60);
      case "crashed":
        throw refusal([tooExpensive("The process that inspected the package crashed.")]);
      case "failed":
        throw errorOf(outcome) ?? unavailable(NOT_INSPECTED, 5, outcome.message);
    }
  };
}

/** Returns the error for a refused package: its text is the worst finding, its `findings` member has all. */
export function refusal(findings: readonly Finding[]): AppError {
  const worst = findings[0];
  const where = worst && worst.path !== "" ? ` (${worst.path})` : "";
  const more = findings.length > 1 ? ` And ${findings.length - 1} more finding(s).` : "";
  const detail = worst ? `${worst.message}${where} ${worst.fix} [${worst.rule}]${more}` : "The package is not valid.";
  return invalid(detail.slice(0, 500), { members: { findings }, rules: findings.map(({ rule }) => rule) });
}

function tooExpensive(message: string): Finding {
  return {
    rule: "inspection-limit",
    level: "refused",
    path: "",
    message,
    fix: "Rebuild it with a current build tool; if it really is this large, split it.",
  };
}
