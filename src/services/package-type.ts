// What a package type tells the rest of the server about itself.

export type PackageType = {
  /** As it stands in URLs and in the `channel` table. */
  readonly name: string;
  /** Ready-to-paste lines that publish to and install from a channel. */
  hints(place: HintPlace): readonly string[];
};

export type HintPlace = {
  readonly publicUrl: string;
  readonly owner: string;
  readonly channel: string;
};
