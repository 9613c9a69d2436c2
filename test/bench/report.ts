// What a measurement found: rows of samples, one per run, as a Markdown table and as JSON.

export type Target = {
  /** Of the median itself, or of the ratio to the peer. */
  readonly of: "value" | "ratio";
  readonly is: "at least" | "at most";
  readonly number: number;
};

export type Row = {
  readonly what: string;
  readonly unit: string;
  /** One per run. */
  readonly samples: readonly number[];
  /** What did the same in the same runs: the ratio is the median of the ratios of each run. */
  readonly peer?: { readonly name: string; readonly samples: readonly number[] };
  readonly target?: Target;
};

export type Finding = Row & {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  readonly ratio: number | undefined;
  readonly met: boolean | undefined;
};

export function findingOf(row: Row): Finding {
  const { samples, peer, target } = row;
  const sorted = inOrder(samples);
  const ratios = peer && samples.map((sample, at) => sample / (peer.samples[at] ?? Number.NaN));
  const ratio = ratios && medianOf(ratios);
  const median = medianOf(samples);
  const met = target && isMet(target, target.of === "value" ? median : (ratio ?? Number.NaN));
  return { ...row, min: sorted[0] ?? Number.NaN, median, max: sorted.at(-1) ?? Number.NaN, ratio, met };
}

export function medianOf(samples: readonly number[]): number {
  const sorted = inOrder(samples);
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** The value that `percent` of the samples do not pass. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = inOrder(samples);
  const at = Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1);
  return sorted[at] ?? Number.NaN;
}

export function markdownTable(findings: readonly Finding[]): string {
  const lines = [
    ["what", "unit", "min", "median", "max", "peer", "peer's median", "ratio", "target", "reached"],
    ...findings.map(cellsOf),
  ];
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0))) ?? [];
  const text = lines.map((cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`);
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [text[0], rule, ...text.slice(1)].join("\n");
}

function cellsOf({ what, unit, min, median, max, peer, ratio, target, met }: Finding): string[] {
  const sign = target?.is === "at least" ? "≥" : "≤";
  return [
    what,
    unit,
    shown(min),
    shown(median),
    shown(max),
    peer?.name ?? "",
    peer ? shown(medianOf(peer.samples)) : "",
    ratio === undefined ? "" : ratio.toFixed(2),
    target ? `${sign} ${target.number}${target.of === "ratio" ? " ×" : ` ${unit}`}` : "",
    met === undefined ? "" : met ? "met" : "MISSED",
  ];
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
