// How a unit of work is committed, on every engine.

export type UnitOptions = {
  /** For work that frees space: on a full disk it is retried once, with the reserved disk space. */
  readonly evenIfFull?: boolean;
  /** For a change that no anonymous response depends on, such as a failed login. */
  readonly isUnseen?: boolean;
  /**
   * Runs after `work` and before the commit, where an engine can together with that of the other units of the commit:
   * for slow checks, such as a look into a store on the network. When it fails, so does the unit.
   */
  readonly confirm?: (() => Promise<void>) | undefined;
  /** The ids of the channels that the unit changes: they are locked first, so that their revisions commit in order. */
  readonly channels?: readonly number[] | undefined;
};
