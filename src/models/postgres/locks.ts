// Locks that are not rows. https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS

/** "cond" in ASCII: other programs can use the same database server. */
const CLASS = 0x636f6e64;

/** Arguments of `pg_advisory_xact_lock()`. */
export const LOCKS = {
  migration: `${CLASS}, 1`,
  /** Held by changes of users, rights and channels, which check what other changes must not alter meanwhile. */
  management: `${CLASS}, 2`,
  refusals: `${CLASS}, 3`,
} as const;
