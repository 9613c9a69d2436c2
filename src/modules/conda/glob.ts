// Globs of a MatchSpec: `*` is any run of characters, everything else is itself. https://conda.org/learn/ceps/cep-0029

/** Whether the whole text fits; letters count alike in either case. Linear, whatever the pattern. */
export function matchesGlob(pattern: string, text: string): boolean {
  const given = text.toLowerCase();
  const [first = "", ...rest] = pattern.toLowerCase().split("*");
  const last = rest.pop();
  if (last === undefined) return given === first;
  const end = given.length - last.length;
  let at = first.length;
  if (!given.startsWith(first) || !given.endsWith(last)) return false;
  for (const part of rest) {
    const found = given.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return at <= end;
}
