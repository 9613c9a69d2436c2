// Versions and their order. https://conda.org/learn/ceps/cep-0033

/** `post` is `Infinity`, above every number; `dev` is `""`, below every other string. */
type Component = number | string;
type Segment = readonly Component[];

export type Version = {
  /** The epoch, then the segments of the version. */
  readonly main: readonly Segment[];
  /** The segments after `+`; empty without a local part. */
  readonly local: readonly Segment[];
};

const MAX_LENGTH = 64;
// Only syntax that both conda and rattler accept: one trailing underscore, none in the local part.
const VERSION = /^(?:([0-9]+)!)?([0-9a-z]+(?:[._][0-9a-z]+)*_?)(?:\+([0-9a-z]+(?:[._][0-9a-z]+)*))?$/;

/** Undefined for an invalid version, or for numbers too large to compare exactly. */
export function parseVersion(text: string): Version | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const match = VERSION.exec(text.toLowerCase());
  if (match === null) return undefined;
  const [, epoch = "0", proper = "", local] = match;
  const main = [[Number(epoch)], ...parseSegments(proper)];
  const version = { main, local: local === undefined ? [] : parseSegments(local) };
  return [...version.main, ...version.local].flat().every(isExact) ? version : undefined;
}

/** Negative when `a` is older, 0 when the versions are equal. */
export function compareVersions(a: Version, b: Version): number {
  return compareSegments(a.main, b.main) || compareSegments(a.local, b.local);
}

/** Returns the largest number in a version; clients with 32-bit numbers read at most 2^31 - 1. */
export function largestNumber(version: Version): number {
  const numbers = [...version.main, ...version.local].flat().filter(isFiniteNumber);
  return Math.max(...numbers);
}

function parseSegments(text: string): Segment[] {
  const trailing = text.endsWith("_") ? "_" : "";
  const segments = text.slice(0, text.length - trailing.length).split(/[._]/);
  return segments.map((segment, index) => parseSegment(index === segments.length - 1 ? segment + trailing : segment));
}

/** Prepends 0 to a segment that starts with a letter, so that numbers are compared with numbers. */
function parseSegment(text: string): Segment {
  const components = (text.match(/[0-9]+|[a-z_]+/g) ?? []).map(parseComponent);
  return typeof components[0] === "number" && components[0] !== Infinity ? components : [0, ...components];
}

function parseComponent(text: string): Component {
  if (text === "post") return Infinity;
  if (text === "dev") return "";
  return /^[0-9]/.test(text) ? Number(text) : text;
}

function isExact(component: Component): boolean {
  return typeof component === "string" || component === Infinity || Number.isSafeInteger(component);
}

function isFiniteNumber(component: Component): component is number {
  return Number.isFinite(component);
}

function compareSegments(a: readonly Segment[], b: readonly Segment[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const order = compareSegment(a[i] ?? [], b[i] ?? []);
    if (order !== 0) return order;
  }
  return 0;
}

function compareSegment(a: Segment, b: Segment): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const order = compareComponents(a[i] ?? 0, b[i] ?? 0);
    if (order !== 0) return order;
  }
  return 0;
}

function compareComponents(a: Component, b: Component): number {
  if (a === b) return 0;
  if (typeof a !== typeof b) return typeof a === "string" ? -1 : 1;
  return a < b ? -1 : 1;
}
