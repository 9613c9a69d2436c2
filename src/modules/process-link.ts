// A link between a server's parent process and one of its processes, over a channel for messages: either side can call
// the other, or hold something that the other grants.
// Hand-written: comlink and birpc know calls only, not grants that end with the process that holds them.

import { z } from "zod";
import { AppError, unavailable, type ErrorCode } from "../errors.ts";

/** Receives the input of a call; its result or error goes back to the caller. Both must be structured-cloneable. */
type CallHandler = (input: unknown) => unknown;

/** What the granting side knows of a grant. */
export type Grant = {
  /** Tells the other side that it holds the grant now; resolves when it releases the grant, or its process has ended. */
  begin(): Promise<void>;
  /** Tells the holder to stop, with the error for its work. */
  end(error: unknown): void;
  /** Called with each note of the holder. */
  onNote: (text: string) => void;
};
/** Grants by `begin()`, refuses by an error, and declines by returning without `begin()`. */
type GrantHandler = (input: unknown, grant: Grant) => Promise<void>;

/** What the holder knows of a grant. */
export type Held = {
  /** Aborted with an error when the work must stop. */
  readonly signal: AbortSignal;
  note(text: string): void;
  release(): void;
};

export type Link = {
  /** Errors: those of the other side's handler; `unavailable` when the other side ends. */
  call(name: string, input?: unknown): Promise<unknown>;
  /** Undefined when the other side declines. Errors: as for `call`. */
  hold(name: string, input: unknown): Promise<Held | undefined>;
  /** Takes a message of the other side. */
  receive(message: unknown): void;
  /** The other side has ended: its grants are released, and calls to it fail. */
  close(): void;
};

export type LinkParts = {
  readonly send: (message: Message) => void;
  readonly calls: Readonly<Record<string, CallHandler>>;
  readonly grants?: Readonly<Record<string, GrantHandler>>;
};

const remoteError = z.object({
  code: z.string().optional(),
  message: z.string(),
  facts: z.record(z.string(), z.unknown()).optional(),
});
const number = z.number();
const message = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("call"), id: number, name: z.string(), input: z.unknown() }),
  z.object({ kind: z.literal("hold"), id: number, name: z.string(), input: z.unknown() }),
  z.object({ kind: z.enum(["answered", "held", "declined"]), id: number, value: z.unknown() }),
  z.object({ kind: z.enum(["failed", "end"]), id: number, error: remoteError }),
  z.object({ kind: z.literal("note"), id: number, text: z.string() }),
  z.object({ kind: z.literal("release"), id: number }),
]);
export type Message = z.infer<typeof message>;
type RemoteError = z.infer<typeof remoteError>;

type Answer = Extract<Message, { kind: "answered" | "held" | "declined" }>;
type Send = LinkParts["send"];

export function createLink({ send, calls, grants = {} }: LinkParts): Link {
  let isClosed = false;
  const sendIfOpen = (sent: Message): void => {
    if (!isClosed) send(sent);
  };
  const asking = createAsking(sendIfOpen);
  const granting = createGranting(sendIfOpen, grants);

  async function answer(id: number, work: CallHandler | undefined, input: unknown): Promise<void> {
    try {
      sendIfOpen({ kind: "answered", id, value: await known(work)(input) });
    } catch (error) {
      sendIfOpen({ kind: "failed", id, error: toRemote(error) });
    }
  }

  function take(received: Message): void {
    switch (received.kind) {
      case "call":
        return void answer(received.id, calls[received.name], received.input);
      case "hold":
        return void granting.grant(received.id, received.name, received.input);
      case "note":
      case "release":
        return granting.take(received);
      case "answered":
      case "held":
      case "declined":
      case "failed":
      case "end":
        return asking.take(received);
    }
  }

  return {
    call: async (name, input) => (await asking.ask("call", name, input)).value,
    hold: asking.hold,
    receive: (received) => take(message.parse(received)),
    close: () => {
      isClosed = true;
      granting.close();
      asking.close();
    },
  };
}

/** The side that calls and holds. */
function createAsking(send: Send) {
  const asked = new Map<number, PromiseWithResolvers<Answer>>();
  const held = new Map<number, AbortController>();
  let isClosed = false;
  let last = 0;

  async function ask(kind: "call" | "hold", name: string, input: unknown): Promise<Answer> {
    if (isClosed) throw otherEnded();
    const waiting = Promise.withResolvers<Answer>();
    last += 1;
    asked.set(last, waiting);
    send({ kind, id: last, name, input });
    return await waiting.promise;
  }

  return {
    ask,
    hold: async (name: string, input: unknown): Promise<Held | undefined> => {
      const { kind, id } = await ask("hold", name, input);
      if (kind === "declined") return undefined;
      const ended = new AbortController();
      held.set(id, ended);
      return {
        signal: ended.signal,
        note: (text) => send({ kind: "note", id, text }),
        release: () => {
          if (held.delete(id)) send({ kind: "release", id });
        },
      };
    },
    take: (received: Answer | Extract<Message, { kind: "failed" | "end" }>): void => {
      if (received.kind === "end") return held.get(received.id)?.abort(fromRemote(received.error));
      const waiting = asked.get(received.id);
      asked.delete(received.id);
      if ("error" in received) waiting?.reject(fromRemote(received.error));
      else waiting?.resolve(received);
    },
    close: (): void => {
      isClosed = true;
      for (const { reject } of asked.values()) reject(otherEnded());
      asked.clear();
    },
  };
}

/** The side that grants. */
function createGranting(send: Send, grants: Readonly<Record<string, GrantHandler>>) {
  const granted = new Map<number, { readonly grant: Grant; release(): void }>();
  let isClosed = false;
  return {
    grant: async (id: number, name: string, input: unknown): Promise<void> => {
      const { promise: released, resolve: release } = Promise.withResolvers<void>();
      let isBegun = false;
      const grant: Grant = {
        begin: async () => {
          isBegun = true;
          send({ kind: "held", id, value: undefined });
          // A grant can come after the end of the process that asked for it.
          if (!isClosed) await released;
        },
        end: (error) => send({ kind: "end", id, error: toRemote(error) }),
        onNote: () => undefined,
      };
      granted.set(id, { grant, release });
      try {
        await known(grants[name])(input, grant);
        if (!isBegun) send({ kind: "declined", id, value: undefined });
      } catch (error) {
        if (!isBegun) send({ kind: "failed", id, error: toRemote(error) });
      } finally {
        granted.delete(id);
      }
    },
    take: ({ id, ...received }: Extract<Message, { kind: "note" | "release" }>): void => {
      const one = granted.get(id);
      if (received.kind === "note") one?.grant.onNote(received.text);
      else one?.release();
    },
    close: (): void => {
      isClosed = true;
      for (const { release } of granted.values()) release();
    },
  };
}

function known<T>(handler: T | undefined): T {
  if (handler === undefined) throw new Error("the other process asked for something unknown");
  return handler;
}

function otherEnded(): AppError {
  return unavailable("A process of the server has ended. Retry in a few seconds.", 5);
}

function toRemote(error: unknown): RemoteError {
  if (!(error instanceof AppError)) return { message: error instanceof Error ? error.message : String(error) };
  // A cause can hold what cannot be sent.
  return { code: error.code, message: error.message, facts: { ...error.facts, cause: undefined } };
}

function fromRemote({ code, message: text, facts }: RemoteError): Error {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the code of an AppError of the same binary
  return code === undefined ? new Error(text) : new AppError(code as ErrorCode, text, facts);
}
