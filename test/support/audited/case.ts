// A change that the audit trail must have, as `test/services/audited.test.ts` makes it.

import type { AuditAction } from "../../../src/services/audit.ts";
import type { RequestActor } from "../../../src/services/actor.ts";
import type { TestApp } from "../app.ts";
import type { People } from "../people.ts";

export type Stage = {
  readonly server: TestApp;
  readonly people: People;
  /** The administrator `other`, in a request of its own. */
  readonly actor: RequestActor;
};

/** `action target` of a row. */
export type Line = `${AuditAction} ${string}`;

export type AuditedCase = {
  /** The rows of the change, in their order. */
  readonly rows: readonly Line[];
  /** Who is in the rows; default: `other`. */
  readonly by?: string;
  /** What must be there first; its own rows do not count. */
  readonly prepare?: (stage: Stage) => Promise<unknown>;
  /** Returns the response if it sends a request. */
  readonly run: (stage: Stage) => Promise<unknown>;
  /** A query for what the change writes beyond `Statements.dump()`. */
  readonly also?: string;
  /** True for several transactions, of which each is audited. */
  readonly inSteps?: true;
};

/** In the order in which they run: later ones change what earlier ones have made. `service.method`, or what a request does. */
export type AuditedCases = readonly (readonly [string, AuditedCase])[];

export async function succeeded(response: Promise<Response>): Promise<Response> {
  const answered = await response;
  if (answered.status >= 400) throw new Error(`the status is ${answered.status}`);
  return answered;
}
