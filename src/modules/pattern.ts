// Glob patterns with `*` and `?` only, in linear time: what token restrictions are written in.
// `modules/conda/glob.ts` is another: in a MatchSpec `?` is itself, and case does not count.

/** Whether `text` as a whole fits `pattern`; `*` is any run of characters, `?` any one. */
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
