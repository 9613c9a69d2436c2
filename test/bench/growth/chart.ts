// Small line charts side by side, as one SVG that is legible by itself.

import { scaleLinear, scaleLog } from "d3-scale";
import { curveLinear, curveStepBefore, line } from "d3-shape";

export type Point = readonly [x: number, y: number];

export type Series = {
  readonly label: string;
  readonly color: string;
  readonly points: readonly Point[];
  /** The target: a dashed line without marks. `steps` extends each value back to the previous one. */
  readonly target?: "line" | "steps";
};

export type Panel = {
  readonly title: string;
  /** The label of the vertical axis. */
  readonly unit: string;
  readonly isLog?: boolean;
  readonly series: readonly Series[];
};

export type Chart = {
  readonly title: string;
  readonly about: string;
  /** The unit of the horizontal axis of every panel; its scale is logarithmic. */
  readonly axis: string;
  readonly panels: readonly Panel[];
};

type Scale = { (value: number): number; ticks(count?: number): number[] };
type Scales = { readonly x: Scale; readonly y: Scale };

const COLUMNS = 2;
const CELL = { width: 480, height: 330 };
const PLOT = { left: 62, top: 96, right: 462, bottom: 280 };
const HEADER = 74;
const TICKS = 5;
const TEXT = "#222222";
const FAINT = "#6b6b6b";
const GRID = "#e4e4e4";
const DASHES = ' stroke-dasharray="6 4"';

export function drawChart({ title, about, axis, panels }: Chart): string {
  const width = COLUMNS * CELL.width;
  const height = HEADER + Math.ceil(panels.length / COLUMNS) * CELL.height;
  const cells = panels.map((panel, at) => {
    const [x, y] = [(at % COLUMNS) * CELL.width, HEADER + Math.floor(at / COLUMNS) * CELL.height];
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel, axis)}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="12">`,
    `<title>${escaped(`${title}: ${about}`)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(title, { x: 24, y: 34, size: 20, isBold: true }),
    text(about, { x: 24, y: 56, color: FAINT }),
    ...cells,
    "</svg>",
    "",
  ].join("\n");
}

function drawPanel(panel: Panel, axis: string): string {
  const series = panel.series.filter(({ points }) => points.length > 0);
  const points = series.flatMap((each) => each.points);
  const heading = text(panel.title, { x: 24, y: 20, size: 14, isBold: true });
  if (points.length === 0) return [heading, text("not measured", { x: 24, y: 44, color: FAINT })].join("\n");
  const scales = scalesOf(panel, points);
  return [
    heading,
    ...series.map((each, at) => legendOf(each, at)),
    ...axesOf(scales, panel, axis),
    ...series.map((each) => drawSeries(each, scales)),
  ].join("\n");
}

function scalesOf({ isLog }: Panel, points: readonly Point[]): Scales {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const x = scaleLog([Math.min(...xs), Math.max(...xs, Math.min(...xs) * 10)], [PLOT.left + 12, PLOT.right - 12]);
  const range = [PLOT.bottom, PLOT.top];
  const y =
    isLog === true
      ? scaleLog([Math.min(...ys), Math.max(...ys)], range).nice()
      : scaleLinear([0, Math.max(...ys) * 1.05], range).nice(TICKS);
  return { x, y };
}

function axesOf({ x, y }: Scales, { unit, isLog }: Panel, axis: string): string[] {
  const { left, top, right, bottom } = PLOT;
  const levels = (isLog === true ? y.ticks().filter(isPowerOfTen) : y.ticks(TICKS)).map((value) => {
    const at = y(value).toFixed(1);
    const label = text(shortNumber(value), { x: left - 8, y: Number(at) + 4, anchor: "end", color: FAINT });
    return `<path d="M${left} ${at}H${right}" stroke="${GRID}"/>${label}`;
  });
  const sizes = x.ticks().filter(isPowerOfTen);
  const marks = sizes.map((value) => {
    const at = x(value).toFixed(1);
    const label = text(shortNumber(value), { x: Number(at), y: bottom + 18, anchor: "middle", color: FAINT });
    return `<path d="M${at} ${bottom}v4" stroke="${FAINT}"/>${label}`;
  });
  return [
    ...levels,
    `<path d="M${left} ${bottom}H${right}" stroke="${FAINT}"/>`,
    ...marks,
    text(unit, { x: left - 8, y: top - 12, anchor: "end", color: FAINT }),
    text(axis, { x: (left + right) / 2, y: bottom + 36, anchor: "middle", color: FAINT }),
  ];
}

function drawSeries({ points, color, target }: Series, { x, y }: Scales): string {
  const place = points.toSorted(([a], [b]) => a - b).map(([a, b]): [number, number] => [x(a), y(b)]);
  const path = line().curve(target === "steps" ? curveStepBefore : curveLinear)(place) ?? "";
  const drawn = `<path d="${path}" fill="none" stroke="${color}" stroke-width="2"${target ? DASHES : ""}/>`;
  if (target) return drawn;
  return [
    drawn,
    ...place.map(([a, b]) => `<circle cx="${a.toFixed(1)}" cy="${b.toFixed(1)}" r="3.5" fill="${color}"/>`),
  ].join("");
}

function legendOf({ label, color, target }: Series, at: number): string {
  const [x, y] = [24 + (at % COLUMNS) * 226, 38 + Math.floor(at / COLUMNS) * 17];
  const sample = `<path d="M${x} ${y - 4}h22" stroke="${color}" stroke-width="2"${target ? DASHES : ""}/>`;
  return `${sample}${text(label, { x: x + 28, y })}`;
}

type TextOptions = {
  readonly x: number;
  readonly y: number;
  readonly size?: number;
  readonly isBold?: boolean;
  readonly color?: string;
  readonly anchor?: "middle" | "end";
};

function text(content: string, { x, y, size, isBold, color = TEXT, anchor }: TextOptions): string {
  const extra = [
    size === undefined ? "" : ` font-size="${size}"`,
    isBold === true ? ' font-weight="bold"' : "",
    anchor === undefined ? "" : ` text-anchor="${anchor}"`,
  ].join("");
  return `<text x="${x}" y="${y}" fill="${color}"${extra}>${escaped(content)}</text>`;
}

function isPowerOfTen(value: number): boolean {
  return Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
}

function shortNumber(value: number): string {
  if (value >= 1e6) return `${value / 1e6} M`;
  return value >= 1e3 ? `${value / 1e3} k` : String(Number(value.toPrecision(6)));
}

function escaped(content: string): string {
  return Bun.escapeHTML(content);
}
