// How a unit of work is committed, on every engine.

export type UnitOptions = {
  /** For work that frees space: on a full disk it is retried once, with the reserved disk space. */
  readonly evenIfFull?: boolean;
  /** For a change that no anonymous response depends on, such as a failed login. */
  readonly isUnseen?: boolean;
  /** The ids of the channels that the unit changes: they are locked first, so that their revisions commit in order. */
  readonly channels?: readonly number[] | undefined;
};
