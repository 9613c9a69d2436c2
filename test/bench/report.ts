// The results of a measurement: rows of samples as Markdown tables and as JSON.

export type Target = {
  /** The unit of the row's value, or of the ratio to the peer. */
  readonly of: "value" | "ratio";
  readonly is: "at least" | "at most";
  readonly number: number;
};

export type Row = {
  /** The table of the row, where a measurement has several. */
  readonly topic?: string;
  /** The number of records of the channel, where it varies. */
  readonly records?: number;
  readonly what: string;
  readonly unit: string;
  /** One per run, or all of them where `percentile` selects the value. */
  readonly samples: readonly number[];
  /** The row's value is this percentile of its samples; the median if undefined. */
  readonly percentile?: 95 | 99;
  /** The peer in the same runs: the ratio is the median of the ratios of each run. */
  readonly peer?: { readonly name: string; readonly samples: readonly number[] };
  readonly target?: Target;
  /** Why there are no samples. */
  readonly missing?: string;
};

export type Finding = Row & {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** What the target limits. */
  readonly value: number;
  readonly ratio: number | undefined;
  readonly met: boolean | undefined;
};

export function findingOf(row: Row): Finding {
  const { samples, peer, target } = row;
  const sorted = inOrder(samples);
  const ratios = peer && samples.map((sample, at) => sample / (peer.samples[at] ?? Number.NaN));
  const ratio = ratios && medianOf(ratios);
  const median = medianOf(samples);
  const value = row.percentile === undefined ? median : percentile(samples, row.percentile);
  const decided = target && row.missing === undefined ? target : undefined;
  const met = decided && isMet(decided, decided.of === "value" ? value : (ratio ?? Number.NaN));
  return { ...row, min: sorted[0] ?? Number.NaN, median, max: sorted.at(-1) ?? Number.NaN, value, ratio, met };
}

export function medianOf(samples: readonly number[]): number {
  const sorted = inOrder(samples);
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** The smallest value that at least `percent` of the samples do not exceed. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = inOrder(samples);
  const at = Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1);
  return sorted[at] ?? Number.NaN;
}

/** One table for each topic, with its heading. */
export function markdownTables(findings: readonly Finding[]): string {
  const topics = Map.groupBy(findings, ({ topic = "" }) => topic);
  return [...topics]
    .map(([topic, rows]) => (topic === "" ? markdownTable(rows) : `### ${topic}\n\n${markdownTable(rows)}`))
    .join("\n\n");
}

/** Empty columns are left out. */
function markdownTable(findings: readonly Finding[]): string {
  const rows = findings.map(cellsOf);
  const columns = COLUMNS.map((_, at) => at).filter((at) => rows.some((cells) => cells[at] !== ""));
  const lines = [COLUMNS, ...rows].map((cells) => columns.map((at) => cells[at] ?? ""));
  const widths = columns.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  const text = lines.map((cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [text[0], rule, ...text.slice(1)].join("\n");
}

const COLUMNS: readonly string[] =
  "records,what,unit,min,median,p95,p99,max,peer,peer's median,ratio,target,reached".split(",");

function cellsOf(finding: Finding): string[] {
  const { records, what, unit, min, median, max, value, peer, ratio, missing } = finding;
  const exists = missing === undefined;
  const number = (shows: boolean, cell: number): string => (shows && exists ? shown(cell) : "");
  return [
    records === undefined ? "" : records.toLocaleString("en"),
    what,
    unit,
    number(true, min),
    number(true, median),
    number(finding.percentile === 95, value),
    number(finding.percentile === 99, value),
    number(true, max),
    peer?.name ?? "",
    number(peer !== undefined, medianOf(peer?.samples ?? [])),
    ratio === undefined || !exists ? "" : ratio.toFixed(2),
    targetCell(finding),
    missing ?? metCell(finding),
  ];
}

function targetCell({ target, unit }: Finding): string {
  if (!target) return "";
  return `${target.is === "at least" ? "≥" : "≤"} ${target.number}${target.of === "ratio" ? " ×" : ` ${unit}`}`;
}

function metCell({ met }: Finding): string {
  if (met === undefined) return "";
  return met ? "met" : "MISSED";
}

function isMet({ is, number }: Target, value: number): boolean {
  return is === "at least" ? value >= number : value <= number;
}

function shown(value: number): string {
  if (Number.isNaN(value)) return "?";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function inOrder(samples: readonly number[]): number[] {
  return [...samples].sort((a, b) => a - b);
}
