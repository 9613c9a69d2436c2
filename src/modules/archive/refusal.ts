// How the readers of this folder report problems: an error refuses the archive, a reporter takes warnings.

/** Thrown by the archive readers: the archive is hostile, broken or past a limit, and nothing more is read. */
export class ArchiveRefusal extends Error {
  override readonly name = "ArchiveRefusal";
  readonly rule: string;
  /** The path of the member in question, `""` for the complete archive. */
  readonly path: string;
  readonly fix: string;

  constructor(rule: string, path: string, message: string, fix: string) {
    super(message);
    this.rule = rule;
    this.path = path;
    this.fix = fix;
  }
}

/** Receives warnings about content that is readable but unwanted; the arguments are those of `ArchiveRefusal`. */
export type Reporter = { warn(rule: string, path: string, message: string, fix: string): void };
