// How the readers of this folder say no: one error for what is refused, a reporter for what is only sloppy.

/** Thrown by the archive readers: the archive is hostile, broken or past a limit, and nothing more is read. */
export class ArchiveRefusal extends Error {
  override readonly name = "ArchiveRefusal";
  readonly rule: string;
  /** The member it is about, `""` for the archive as a whole. */
  readonly path: string;
  readonly fix: string;

  constructor(rule: string, path: string, message: string, fix: string) {
    super(message);
    this.rule = rule;
    this.path = path;
    this.fix = fix;
  }
}

/** Told of what is readable but should not be there; the arguments are those of `ArchiveRefusal`. */
export type Reporter = { warn(rule: string, path: string, message: string, fix: string): void };
