// Letter case of names.

const KELVIN = "\u212a";

/**
 * The lower-case form by which names are compared. The Kelvin sign stays: it is the only other character whose
 * lower-case form is an ASCII letter, and with it a name could be written in characters that no name can contain.
 */
export function foldCase(text: string): string {
  if (!text.includes(KELVIN)) return text.toLowerCase();
  return text
    .split(KELVIN)
    .map((part) => part.toLowerCase())
    .join(KELVIN);
}
