// Parses the text of sizes, times, numbers and lists. Returns a value that has another form as it is.

export function parseBytes(value: unknown): unknown {
  const match = typeof value === "string" ? /^(\d+)\s*(B|[KMGT]i?B?)?$/i.exec(value.trim()) : null;
  if (!match) return value;
  const unit = (match[2] ?? "B").toUpperCase();
  const power = "BKMGT".indexOf(unit.charAt(0));
  return Number(match[1]) * (unit.includes("I") || unit.length === 1 ? 1024 : 1000) ** power;
}

export function parseSeconds(value: unknown): unknown {
  const match = typeof value === "string" ? /^(\d+)\s*(s|m|h|d)?$/.exec(value.trim()) : null;
  if (!match) return value;
  const factors: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
  return Number(match[1]) * (factors[match[2] ?? "s"] ?? 1);
}

export function parseInterval(value: unknown): unknown {
  return value === "off" ? 0 : parseSeconds(value);
}

export function parseNumber(value: unknown): unknown {
  return typeof value === "string" && /^\d+$/.test(value.trim()) ? Number(value) : value;
}

export function parseYesNo(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const word = value.trim().toLowerCase();
  if (["yes", "true", "1", "on"].includes(word)) return true;
  return ["no", "false", "0", "off"].includes(word) ? false : value;
}

export function parseList(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
