// The parts of the server on other machines, the database and the storage: asked seldom, however many want to know whether
// they answer.

import { AppError } from "../errors.ts";
import type { Database } from "../models/database.ts";
import type { Clock } from "../modules/clock.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";
import { messageOf, type Troubles } from "./troubles.ts";

export type RemotePart = {
  /** The error of the part; undefined when it works. At most `age` ms old; callers at the same time share one question. */
  fault(age: number): Promise<unknown>;
};

type RemotePartOptions = {
  /** Asks the part; bounded in time. */
  readonly ask: () => Promise<void>;
  /** Called with each answer; `fault` as above. */
  readonly onAnswer: (fault: unknown) => void;
  readonly clock: Clock;
};

export function createRemotePart({ ask, onAnswer, clock }: RemotePartOptions): RemotePart {
  let last: { readonly fault: unknown; readonly at: number } | undefined;
  let asking: Promise<unknown> | undefined;

  async function askOnce(): Promise<unknown> {
    const fault = await ask().then(
      () => undefined,
      (error: unknown) => error,
    );
    last = { fault, at: clock.elapsed() };
    onAnswer(fault);
    return fault;
  }

  return {
    fault: async (age) => {
      if (last && clock.elapsed() - last.at < age) return last.fault;
      asking ??= askOnce().finally(() => (asking = undefined));
      return await asking;
    },
  };
}

export type RemoteParts = {
  readonly database: RemotePart;
  readonly storage: RemotePart;
  /** Asks the part that the error of a request blames: one request can fail for its own reason. */
  blame(error: unknown): void;
  /** The same error for clients; without its cause while the log has the reason already. */
  withoutKnownCause(error: unknown): unknown;
  /** Call it every second, so that a trouble begins and ends without requests. */
  look(): void;
};

/** ms for which an answer counts; and after a request that the part failed, or while it is in trouble. */
export const REMOTE_FRESH_MS = 5000;
const AGAIN_MS = 1000;
/** A storage costs money for each question. */
const STORAGE_AGAIN_MS = 3000;

type RemotePartsOptions = {
  readonly database: Pick<Database, "requireReady">;
  readonly blobs: Pick<BlobStore, "requireReady">;
  readonly clock: Clock;
};

export function createRemoteParts({ database, blobs, clock }: RemotePartsOptions, troubles: Troubles): RemoteParts {
  const create = (kind: RemoteTrouble, ask: () => Promise<void>): RemotePart => {
    const onAnswer = (fault: unknown): void => {
      if (fault === undefined) troubles.set(kind, undefined, "");
      else troubles.set(kind, messageOf(fault).replace(/\.$/, ""), fault instanceof AppError ? fault.message : UNKNOWN);
    };
    return createRemotePart({ ask, onAnswer, clock });
  };
  const parts = {
    database: create(KINDS.database, () => database.requireReady()),
    storage: create(KINDS.storage, () => blobs.requireReady()),
  };
  return {
    ...parts,
    blame: (error) => {
      const part = blamed(error);
      if (part) void parts[part].fault(part === "storage" ? STORAGE_AGAIN_MS : AGAIN_MS);
    },
    withoutKnownCause: (error) => {
      const part = blamed(error);
      if (!part || !(error instanceof AppError) || !troubles.has(KINDS[part])) return error;
      return new AppError(error.code, error.message, { ...error.facts, cause: undefined });
    },
    look: () => {
      void parts.database.fault(troubles.has(KINDS.database) ? AGAIN_MS : REMOTE_FRESH_MS);
      // Without trouble, it is asked for readiness alone.
      if (troubles.has(KINDS.storage)) void parts.storage.fault(STORAGE_AGAIN_MS);
    },
  };
}

type RemoteTrouble = "database-server" | "storage";
const KINDS = { database: "database-server", storage: "storage" } as const;
const UNKNOWN = "A part of the server does not work now; the log of the server has the reason.";

function blamed(error: unknown): keyof typeof KINDS | undefined {
  const part = error instanceof AppError ? error.facts.part : undefined;
  return part === "disk" ? undefined : part;
}
