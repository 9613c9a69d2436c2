// How many uploads one account may have under way: past that, the others' turn comes first.

import { AppError } from "../errors.ts";

export type Admission = {
  /** Errors: `throttled` when the account has its full number under way. */
  admit<T>(account: string, work: () => Promise<T>): Promise<T>;
  readonly open: number;
};

export function createAdmission(parts: { readonly perAccount: number }): Admission {
  const underWay = new Map<string, number>();
  return {
    get open() {
      return [...underWay.values()].reduce((sum, count) => sum + count, 0);
    },
    admit: async (account, work) => {
      const count = underWay.get(account) ?? 0;
      if (count >= parts.perAccount) {
        const message = `${account} has ${count} uploads under way, which is the limit. Send the others later.`;
        throw new AppError("throttled", message, { retryAfter: 5 });
      }
      underWay.set(account, count + 1);
      try {
        return await work();
      } finally {
        const left = (underWay.get(account) ?? 1) - 1;
        if (left > 0) underWay.set(account, left);
        else underWay.delete(account);
      }
    },
  };
}
