// Which names are so near to each other that one is probably a typing error of the other.

/** Two errors next to each other count only in names of this length. */
const LONG = 8;
const SHORTEST = 3;

/** Whether two different names differ only by separators, or by a typing error at one position; numbers are none. */
export function isNearName(one: string, other: string): boolean {
  if (one === other) return false;
  if (letters(one) === letters(other)) return true;
  const shorter = Math.min(one.length, other.length);
  if (shorter < SHORTEST || Math.abs(one.length - other.length) > 2) return false;
  const [a, b] = differingParts(one, other);
  // `main` and `main-2`, `py38` and `py39` are different on purpose.
  if (/^[\d._-]*$/.test(a + b)) return false;
  const longest = Math.max(a.length, b.length);
  const isSwapped = longest === 2 && a === `${b.charAt(1)}${b.charAt(0)}`;
  return longest <= 1 || isSwapped || (longest === 2 && shorter >= LONG);
}

function letters(name: string): string {
  return name.replaceAll(/[-_.]/g, "");
}

/** Both texts without their common beginning and their common end. */
function differingParts(one: string, other: string): readonly [string, string] {
  const shorter = Math.min(one.length, other.length);
  let start = 0;
  while (start < shorter && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < shorter - start && one[one.length - 1 - end] === other[other.length - 1 - end]) end += 1;
  return [one.slice(start, one.length - end), other.slice(start, other.length - end)];
}
