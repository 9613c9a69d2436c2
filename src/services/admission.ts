// Limits the uploads in progress per credential and per account, so that other accounts get their turn. At the limit, a
// stalled upload of the same account yields its slot; without one, the new upload is refused.

import { AppError } from "../errors.ts";

/** The account of an upload, the credential (a token of the account or its password), and its name in messages. */
export type Uploader = { readonly account: string; readonly credential: string; readonly name: string };

/** An admitted upload. */
export type Upload = {
  /** Aborted with the error for the client when the upload must yield its slot. */
  readonly signal: AbortSignal;
  /** Call this whenever bytes arrive. */
  arrived(): void;
  /** Call this when the body is complete: the rest is the server's own work, and the upload keeps its slot. */
  received(): void;
};

export type Admission = {
  /** Errors: `throttled` when the credential or the account is at its limit and no upload is stalled. */
  admit<T>(uploader: Uploader, work: (upload: Upload) => Promise<T>): Promise<T>;
  readonly open: number;
};

export type AdmissionParts = {
  readonly perAccount: number;
  readonly perCredential: number;
  /** Monotonic time in ms. */
  readonly now: () => number;
};

type Slot = { readonly uploader: Uploader; readonly ended: AbortController; lastByte: number; isReceiving: boolean };

/** An upload that receives no byte for this long can lose its slot to another upload of its account. */
const STALLED_MS = 3000;
const RETRY_SECONDS = 5;

export function createAdmission({ perAccount, perCredential, now }: AdmissionParts): Admission {
  const inProgress = new Map<string, Set<Slot>>();

  /** Admits one more upload, or throws. */
  function enter(uploader: Uploader): Slot {
    const { account, credential, name } = uploader;
    const slots = inProgress.get(account) ?? new Set();
    const own = [...slots].filter((slot) => slot.uploader.credential === credential);
    const ownLimit = Math.min(perCredential, perAccount);
    // A credential without uploads gets extra slots beyond a full account, so that one leaked token locks out no other.
    const slotLimit = own.length === 0 ? perAccount + Math.ceil(perAccount / 4) : perAccount;
    if (own.length >= ownLimit) makeRoom(own, name, ownLimit);
    else if (slots.size >= slotLimit) makeRoom(slots, account, perAccount);
    const slot = { uploader, ended: new AbortController(), lastByte: now(), isReceiving: true };
    inProgress.set(account, slots.add(slot));
    return slot;
  }

  function makeRoom(slots: Iterable<Slot>, whose: string, limit: number): void {
    const idlest = [...slots]
      .filter((slot) => slot.isReceiving && now() - slot.lastByte >= STALLED_MS)
      .reduce<Slot | undefined>((best, slot) => (best && best.lastByte <= slot.lastByte ? best : slot), undefined);
    if (!idlest) {
      const message = `${whose} has ${limit} uploads in progress, which is the limit. Send the others later.`;
      throw new AppError("throttled", message, { retryAfter: RETRY_SECONDS, members: { limit } });
    }
    leave(idlest);
    const message = "The upload stalled while others waited for its slot. Send it again.";
    idlest.ended.abort(new AppError("timeout", message));
  }

  function leave(slot: Slot): void {
    const { account } = slot.uploader;
    const slots = inProgress.get(account);
    slots?.delete(slot);
    if (slots?.size === 0) inProgress.delete(account);
  }

  return {
    get open() {
      return [...inProgress.values()].reduce((sum, slots) => sum + slots.size, 0);
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
