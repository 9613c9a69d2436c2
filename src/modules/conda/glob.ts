// Globs of a MatchSpec: `*` matches any characters, every other character itself. https://conda.org/learn/ceps/cep-0029

/** Returns a test of the complete text, case-insensitive. Its time is linear in the text for any pattern. */
export function globOf(pattern: string): (text: string) => boolean {
  const [first = "", ...rest] = pattern.toLowerCase().split("*");
  const last = rest.pop();
  const parts = rest.filter((part) => part !== "");
  return (text) => {
    const lower = text.toLowerCase();
    if (last === undefined) return lower === first;
    const end = lower.length - last.length;
    let at = first.length;
    if (!lower.startsWith(first) || !lower.endsWith(last)) return false;
    for (const part of parts) {
      const found = lower.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}
