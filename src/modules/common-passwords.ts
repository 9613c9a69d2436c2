// The commonest passwords, in lower case. The list has its source and license at its beginning.

import list from "./common-passwords.txt" with { type: "text" };

export const COMMON_PASSWORDS: ReadonlySet<string> = new Set(
  list.split("\n").filter((line) => line !== "" && !line.startsWith("#")),
);
