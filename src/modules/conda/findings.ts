// What an inspection has to say about a package: each finding names its rule, the place and the fix.

/** `refused` packages are never stored; `warning`s are stored and shown, and refuse under the `strict` policy. */
export type FindingLevel = "refused" | "warning";

export type Finding = {
  /** Stable, kebab-case name of the rule, e.g. `zip-duplicate-member`. */
  readonly rule: string;
  readonly level: FindingLevel;
  /** Where: a member, a JSON key, or `""` for the file as a whole. At most 200 characters, printable. */
  readonly path: string;
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** What the person can do about it, in one sentence. */
  readonly fix: string;
};

const LIMIT = 100;

/** Collects findings, worst first, with a bound on how many are kept. */
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

/** Text from a package, safe in a log line or an answer: control and direction characters replaced, length capped. */
export function printable(text: string, limit = 200): string {
  const cut = text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, "\ufffd");
}
