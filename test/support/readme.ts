// README.md as the tests read it: its code, its tables, and the values of its placeholders.

export type Block = { readonly language: string; readonly text: string };

/** The values of README.md's placeholders while its lines are run. */
export type StandIns = {
  /** For `http://localhost:8080`, and for nginx `http://127.0.0.1:8080`. */
  readonly url: string;
  /** For `dist/condarium`. */
  readonly binary: string;
  /** For `/usr/local/bin`, `/var/lib/condarium` and `/var/backups`. */
  readonly folders: { readonly bin: string; readonly data: string; readonly backups: string };
  /** For `postgres://condarium@db.example.com/condarium`. */
  readonly database: string | undefined;
  /** For `NAME:PASSWORD`, by name. */
  readonly passwords: ReadonlyMap<string, string>;
  /** For `TOKEN`: the last printed one. */
  readonly token: string;
};

export function fillIn(text: string, stand: StandIns): string {
  return (
    text
      .replaceAll(/http:\/\/(localhost|127\.0\.0\.1):8080/g, stand.url)
      .replaceAll("localhost:8080", new URL(stand.url).host)
      .replaceAll("postgres://condarium@db.example.com/condarium", stand.database ?? "?")
      .replaceAll("dist/condarium", stand.binary)
      .replaceAll("/usr/local/bin", stand.folders.bin)
      .replaceAll("/var/lib/condarium", stand.folders.data)
      .replaceAll("/var/backups", stand.folders.backups)
      // The user of the service, who does not exist here.
      .replaceAll("--owner condarium", `--owner ${process.getuid?.() ?? 0}`)
      .replaceAll(/\b(\w+):PASSWORD\b/g, (_, name: string) => `${name}:${stand.passwords.get(name) ?? "?"}`)
      .replaceAll(/\bTOKEN\b/g, stand.token)
  );
}

/** The fenced blocks, in order. */
export function codeBlocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\S*)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({ language, text }));
}

/** The only block of a language. */
export function theBlock(blocks: readonly Block[], language: string): string {
  const found = blocks.filter((block) => block.language === language);
  if (found.length !== 1) throw new Error(`README.md has ${found.length} blocks of ${language}, not one`);
  return found[0]?.text ?? "";
}

/** The lines to type, without comments. */
export function shellLines(blocks: readonly Block[]): string[] {
  return blocks
    .filter(({ language }) => language === "sh")
    .flatMap(({ text }) => text.split("\n"))
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** The cells of the table that starts with this column, without its head and without code marks. */
export function tableRows(markdown: string, firstColumn: string): string[][] {
  const lines = markdown.split("\n");
  const head = lines.findIndex((line) => new RegExp(`^\\| ${firstColumn} +\\|`).test(line));
  const rows = lines.slice(head + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  return rows.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim().replace(/^`(.*)`$/, "$1")),
  );
}
