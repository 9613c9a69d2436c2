// Findings of an inspection: each names the rule, the path, the problem and the fix.

/** `refused`: the package is not stored. `warning`: stored and shown; refuses the package under the `strict` policy. */
export type FindingLevel = "refused" | "warning";

export type Finding = {
  /** Stable, kebab-case name of the rule, e.g. `zip-duplicate-member`. */
  readonly rule: string;
  readonly level: FindingLevel;
  /** A member, a JSON key, or `""` for the entire file. At most 200 printable characters. */
  readonly path: string;
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** How the package author fixes it, in one sentence. */
  readonly fix: string;
};

const LIMIT = 100;

/** Collects at most `LIMIT` findings, worst first. */
export type Findings = {
  refuse(rule: string, path: string, message: string, fix: string): void;
  warn(rule: string, path: string, message: string, fix: string): void;
  readonly refused: boolean;
  list(): Finding[];
};

export function createFindings(): Findings {
  const refused: Finding[] = [];
  const warnings: Finding[] = [];
  const add = (into: Finding[], finding: Finding): void => {
    if (into.length < LIMIT) into.push(finding);
  };
  return {
    refuse: (rule, path, message, fix) =>
      add(refused, { rule, level: "refused", path: printable(path), message: printable(message), fix }),
    warn: (rule, path, message, fix) =>
      add(warnings, { rule, level: "warning", path: printable(path), message: printable(message), fix }),
    get refused() {
      return refused.length > 0;
    },
    list: () => [...refused, ...warnings].slice(0, LIMIT),
  };
}

/** Makes package text safe for logs and responses: replaces control and direction characters, limits the length. */
export function printable(text: string, limit = 200): string {
  const truncated = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return truncated.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "\ufffd");
}
