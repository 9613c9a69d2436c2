export type RightsRow = { readonly name: string; readonly outcomes: string[] };

/**
 * The rows of a table of rights, one for each actor. Each line of the text has the outcomes on the targets, two spaces,
 * and the actors with these outcomes, which can go on in the next lines.
 */
export function rightsTable(text: string): RightsRow[] {
  const joined = text.trim().replaceAll(/,\n\s+/g, ", ");
  return joined.split("\n").flatMap((line) => {
    const [outcomes = "", names = ""] = line.trim().split(/ {2,}/);
    return names.split(", ").map((name) => ({ name, outcomes: outcomes.split(" ") }));
  });
}
