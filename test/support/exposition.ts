// A strict reader of the text format of Prometheus, version 0.0.4. It accepts only what every scraper accepts.

export type Sample = {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
};
export type Family = { readonly type: string; readonly help: string };

export type Exposition = {
  readonly families: ReadonlyMap<string, Family>;
  readonly samples: readonly Sample[];
  /** The value of the only sample with at least these labels; undefined when there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  /** Name and labels of every sample, sorted. */
  series(): string[];
};

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;
const NUMBER = /^(?:[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\+Inf|-Inf|NaN)$/;
const PARTS = ["_bucket", "_sum", "_count"];

/** Throws for anything that the format does not allow, and for a family whose samples do not fit its type. */
export function readExposition(text: string): Exposition {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  let current = "";
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") {
        if (families.has(name)) throw new Error(`a second family ${name}`);
        families.set(name, { help: rest, type: "" });
        current = name;
        continue;
      }
      if (name !== current) throw new Error(`the type of ${name} is not below its help`);
      if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`the type ${rest} of ${name}`);
      families.set(name, { help: families.get(name)?.help ?? "", type: rest });
      continue;
    }
    const sample = readSample(line);
    const family = families.get(current);
    const isPart = family?.type === "histogram" && PARTS.some((part) => sample.name === `${current}${part}`);
    if (!isPart && (sample.name !== current || family?.type === "histogram"))
      throw new Error(`${line} is not below its family`);
    if (family?.type === "counter" && !(sample.value >= 0)) throw new Error(`${line} is no counter`);
    const key = seriesOf(sample);
    if (seen.has(key)) throw new Error(`${key} is there twice`);
    seen.add(key);
    samples.push(sample);
  }
  for (const [name, { type }] of families) if (type === "histogram") checkHistogram(name, samples);
  return {
    families,
    samples,
    series: () => [...seen].sort(),
    value: (name, labels = {}) => {
      const fits = (sample: Sample): boolean =>
        sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value);
      const found = samples.filter(fits);
      if (found.length > 1) throw new Error(`${name} has several such samples`);
      return found[0]?.value;
    },
  };
}

function readSample(line: string): Sample {
  const [, name = "", inner = "", number = ""] = SAMPLE.exec(line) ?? [];
  if (name === "" || !NUMBER.test(number)) throw new Error(`this is no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inner.length) {
    const found = LABEL.exec(inner);
    if (!found) throw new Error(`these are no labels: ${line}`);
    const [, label = "", value = ""] = found;
    if (label in labels) throw new Error(`the label ${label} is there twice: ${line}`);
    labels[label] = value.replaceAll(/\\(["\\n])/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
  }
  return { name, labels, value: number === "+Inf" ? Infinity : number === "-Inf" ? -Infinity : Number(number) };
}

/** Buckets are cumulative, end with `+Inf`, and that one equals the count. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const counts = samples.filter((sample) => sample.name === `${name}_count`);
  for (const { labels, value } of counts) {
    const isOf = (sample: Sample): boolean =>
      Object.entries(labels).every(([label, text]) => sample.labels[label] === text);
    const buckets = samples.filter((sample) => sample.name === `${name}_bucket` && isOf(sample));
    const bounds = buckets.map((sample) => (sample.labels.le === "+Inf" ? Infinity : Number(sample.labels.le)));
    const isSorted = (numbers: readonly number[]): boolean =>
      numbers.every((number, at) => at === 0 || number >= (numbers[at - 1] ?? 0));
    if (!isSorted(bounds) || bounds.at(-1) !== Infinity) throw new Error(`the bounds of ${name} are ${bounds.join()}`);
    if (!isSorted(buckets.map((sample) => sample.value))) throw new Error(`the buckets of ${name} are not cumulative`);
    if (buckets.at(-1)?.value !== value) throw new Error(`the last bucket of ${name} is not its count`);
  }
}

function seriesOf({ name, labels }: Sample): string {
  const pairs = Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1));
  return `${name}${JSON.stringify(pairs)}`;
}
