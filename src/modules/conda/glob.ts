// Globs of a MatchSpec: `*` is any run of characters, everything else is itself. https://conda.org/learn/ceps/cep-0029

/** Whether the whole of a text fits; letters count alike in either case. Linear in the text, however long the pattern. */
export function globOf(pattern: string): (text: string) => boolean {
  const [first = "", ...rest] = pattern.toLowerCase().split("*");
  const last = rest.pop();
  const parts = rest.filter((part) => part !== "");
  return (text) => {
    const given = text.toLowerCase();
    if (last === undefined) return given === first;
    const end = given.length - last.length;
    let at = first.length;
    if (!given.startsWith(first) || !given.endsWith(last)) return false;
    for (const part of parts) {
      const found = given.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at <= end;
  };
}
