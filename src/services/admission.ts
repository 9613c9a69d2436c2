// How many uploads one token and one account may have under way: past that, the others' turn comes first, and what stands
// still makes room.

import { AppError } from "../errors.ts";

/** Whose upload it is: of an account, by one of its tokens or by its password, and what that is called. */
export type Uploader = { readonly account: string; readonly credential: string; readonly name: string };

/** An upload that has been let in. */
export type Upload = {
  /** Aborted with the error to answer, when the upload has to make room. */
  readonly signal: AbortSignal;
  /** Told of each byte that arrives. */
  arrived(): void;
  /** The body is complete: what follows is our own work, and makes room for nobody. */
  received(): void;
};

export type Admission = {
  /** Errors: `throttled` when the token or the account has its full number under way. */
  admit<T>(uploader: Uploader, work: (upload: Upload) => Promise<T>): Promise<T>;
  readonly open: number;
};

export type AdmissionParts = {
  readonly perAccount: number;
  readonly perCredential: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
};

type Slot = { readonly uploader: Uploader; readonly ended: AbortController; lastByte: number; isReceiving: boolean };

/** So long without a byte, and an upload makes room for another of its account. */
const STILL_MS = 3000;
const RETRY_SECONDS = 5;

export function createAdmission({ perAccount, perCredential, now }: AdmissionParts): Admission {
  const underWay = new Map<string, Set<Slot>>();

  /** Lets one more in, or throws. */
  function enter(uploader: Uploader): Slot {
    const { account, credential, name } = uploader;
    const slots = underWay.get(account) ?? new Set();
    const own = [...slots].filter((slot) => slot.uploader.credential === credential);
    const perOwn = Math.min(perCredential, perAccount);
    // Who has nothing under way gets in beside a full account, so that one lost token locks out no other.
    const places = own.length === 0 ? perAccount + Math.ceil(perAccount / 4) : perAccount;
    if (own.length >= perOwn) makeRoom(own, name, perOwn);
    else if (slots.size >= places) makeRoom(slots, account, perAccount);
    const slot = { uploader, ended: new AbortController(), lastByte: now(), isReceiving: true };
    underWay.set(account, slots.add(slot));
    return slot;
  }

  function makeRoom(slots: Iterable<Slot>, whose: string, limit: number): void {
    const idlest = [...slots]
      .filter((slot) => slot.isReceiving && now() - slot.lastByte >= STILL_MS)
      .reduce<Slot | undefined>((best, slot) => (best && best.lastByte <= slot.lastByte ? best : slot), undefined);
    if (!idlest) {
      const message = `${whose} has ${limit} uploads under way, which is the limit. Send the others later.`;
      throw new AppError("throttled", message, { retryAfter: RETRY_SECONDS, members: { limit } });
    }
    leave(idlest);
    const message = "The upload stood still while others waited for its place. Send it again.";
    idlest.ended.abort(new AppError("timeout", message));
  }

  function leave(slot: Slot): void {
    const { account } = slot.uploader;
    const slots = underWay.get(account);
    slots?.delete(slot);
    if (slots?.size === 0) underWay.delete(account);
  }

  return {
    get open() {
      return [...underWay.values()].reduce((sum, slots) => sum + slots.size, 0);
    },
    admit: async (uploader, work) => {
      const slot = enter(uploader);
      try {
        return await work({
          signal: slot.ended.signal,
          arrived: () => (slot.lastByte = now()),
          received: () => (slot.isReceiving = false),
        });
      } finally {
        leave(slot);
      }
    },
  };
}
