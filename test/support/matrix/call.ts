// How a row of the access matrix calls its route, and the addresses that rows share.

import { accountOf, CHANNELS, OWNERS, type World } from "./world.ts";

export type Cell = { readonly actor: string; readonly place: string; readonly world: World };

export type RowCall = {
  readonly method: string;
  /** A table of `rights.ts`, or what is open to all. */
  readonly action: string;
  readonly path: (cell: Cell) => string;
  /** The status of an allowed call, which changes nothing, or nothing but what a repetition would change too. */
  readonly done: number | ((place: string) => number);
  /** The answer of an allowed call, where its status can also be that of a refusal. */
  readonly says?: RegExp;
  readonly headers?: Readonly<Record<string, string>>;
  readonly json?: object | ((cell: Cell) => object);
  readonly bytes?: Uint8Array;
  /** Only for actors who are refused: an allowed call would change what other cells need. */
  readonly isDestructive?: true;
  /** Without it, every actor calls every place. */
  readonly isCalled?: (actor: string, place: string) => boolean;
};

/** GET of the API: without validators and ranges, so each kind of request gets the whole answer. */
export function get(action: string, path: RowCall["path"], more: Partial<RowCall> = {}): RowCall[] {
  const done = more.done ?? 200;
  return [{}, { range: "bytes=0-3" }, { "if-none-match": "*" }].flatMap((headers): RowCall[] =>
    ["GET", "HEAD"].map((method) => ({ method, action, path, headers, ...more, done })),
  );
}

export function write(
  method: string,
  action: string,
  path: RowCall["path"],
  more: Partial<RowCall> & Pick<RowCall, "done">,
) {
  return { method, action, path, ...more } satisfies RowCall;
}

export const ownerOf = ({ place }: Cell): string => OWNERS[place] ?? "nobody";
/** A channel in one segment. */
export const inApi = ({ place }: Cell): string =>
  `/api/v1/channels/${(CHANNELS[place] ?? []).map(encodeURIComponent).join("/")}`;

/** The last segments of the address of an account's tokens. */
export function account({ actor, place }: Cell, other: string, robot: string): string {
  const names: Readonly<Record<string, string>> = {
    self: actor === "anonymous" ? "stranger" : accountOf(actor),
    "other user": other,
    robot: `acme/robots/${robot}`,
    "closed robot": "cny-closed/robots/cny-robot-cny-closed",
    "hidden robot": "cny-veiled/robots/cny-robot-cny-veiled",
    "no user": "nobody",
    "no robot": "acme/robots/nobody",
  };
  return names[place] ?? "";
}
