// Glob patterns of token restrictions: `*` and `?` only, without recursion.
// Hand-written: `Bun.Glob` and picomatch also interpret characters such as `[`, `{`, `!` and `/`.
// `modules/conda/glob.ts` has other rules: in a MatchSpec `?` stands for itself, and letter case does not matter.

/** Whether `pattern` matches the complete `text`; `*` matches any characters, `?` exactly one. */
export function matchesPattern(pattern: string, text: string): boolean {
  let at = 0;
  let position = 0;
  let star = -1;
  let resume = 0;
  while (at < text.length) {
    if (pattern[position] === "*") {
      star = position++;
      resume = at;
    } else if (pattern[position] === "?" || pattern[position] === text[at]) {
      position++;
      at++;
    } else if (star >= 0) {
      position = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[position] === "*") position++;
  return position === pattern.length;
}
