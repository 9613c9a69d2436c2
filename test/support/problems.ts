import type { App } from "../../src/app.ts";
import type { Problem, VerifyLevel } from "../../src/services/storage/verify.ts";

/** Everything that verify finds in the data folder of a running app. */
export async function problemsOf({ app }: { readonly app: App }, level: VerifyLevel): Promise<Problem[]> {
  const problems: Problem[] = [];
  await app.verify({ level, onProblem: (problem) => void problems.push(problem) });
  return problems;
}
