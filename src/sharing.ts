// What the processes of one server share: their parent grants it and counts over all of them.

import { z } from "zod";
import type { Config } from "./config.ts";
import type { WriteTurn } from "./models/sqlite/writer.ts";
import type { Clock } from "./modules/clock.ts";
import type { FairTurns } from "./modules/fair-turns.ts";
import type { Rendering } from "./modules/metrics.ts";
import { createMutex } from "./modules/mutex.ts";
import { createHashingTurns } from "./modules/passwords.ts";
import type { Grant, Held, Link, LinkParts } from "./modules/process-link.ts";
import { createAdmission, type Admission, type Upload } from "./services/admission.ts";
import { createPlaces, type Places } from "./services/throttle.ts";
import { createInspectionTurns } from "./threads.ts";

/** The shared parts, as one process sees them. */
export type Shared = {
  /** From 1. */
  readonly slot: number;
  readonly processes: number;
  /** Errors: `unavailable` when the parent has ended; its successor may have the folder already. */
  requireParent(): void;
  readonly admit: Admission["admit"];
  /** Turns to inspect packages. */
  readonly inspecting: FairTurns;
  /** Turns to hash passwords. */
  readonly hashing: Pick<FairTurns, "run">;
  readonly writeTurn: WriteTurn;
  readonly places: Places;
  /** The metrics of all processes together. */
  readonly render: Rendering["render"];
};

const uploader = z.object({ account: z.string(), credential: z.string(), name: z.string() });
const who = z.object({ who: z.string() });
const room = z.object({ bucket: z.string(), room: z.number() });
const wantedPlaces = z.object({ wanted: z.array(room), seen: z.number() });

/** For the parent: what it grants to its processes. */
export function createGrants(config: Config, { clock }: { readonly clock: Clock }): Required<Omit<LinkParts, "send">> {
  const admission = createAdmission({
    perAccount: config["uploads-per-account"],
    perCredential: config["uploads-per-token"],
    now: () => clock.elapsed(),
  });
  const inspecting = createInspectionTurns(config, { clock });
  const hashing = createHashingTurns();
  const places = createPlaces();
  const writing = createMutex();
  return {
    grants: {
      upload: (input, grant) => admission.admit(uploader.parse(input), (upload) => grantUpload(upload, grant)),
      inspecting: (input, grant) => inspecting.run(who.parse(input).who, () => grant.begin()),
      hashing: (input, grant) => hashing.run(who.parse(input).who, () => grant.begin()),
      writing: (_, grant) => writing.run(() => grant.begin()),
      places: async (input, grant) => {
        const { wanted, seen } = wantedPlaces.parse(input);
        const release = await places.take(wanted, seen);
        if (!release) return;
        await grant.begin();
        release();
      },
    },
    calls: { released: () => places.released() },
  };
}

async function grantUpload(upload: Upload, grant: Grant): Promise<void> {
  upload.signal.addEventListener("abort", () => grant.end(upload.signal.reason));
  grant.onNote = (text) => (text === "received" ? upload.received() : upload.arrived());
  await grant.begin();
}

/** For one process: asks the parent. */
export function sharedThrough(link: Link, about: Pick<Shared, "slot" | "processes" | "requireParent">): Shared {
  return {
    ...about,
    admit: async (input, work) => {
      const held = await holdOf(link, "upload", input);
      const progress = reportProgress(held);
      try {
        return await work({ signal: held.signal, ...progress });
      } finally {
        progress.received();
        held.release();
      }
    },
    inspecting: turnsOf(link, "inspecting"),
    hashing: turnsOf(link, "hashing"),
    writeTurn: async () => (await holdOf(link, "writing", undefined)).release,
    places: {
      released: async () => z.number().parse(await link.call("released")),
      take: async (wanted, seen) => (await link.hold("places", { wanted, seen }))?.release,
    },
    render: async () => z.string().parse(await link.call("metrics")),
  };
}

async function holdOf(link: Link, name: string, input: unknown): Promise<Held> {
  const held = await link.hold(name, input);
  if (!held) throw new Error(`the parent process declined ${name}`);
  return held;
}

function turnsOf(link: Link, name: string): FairTurns {
  let waiting = 0;
  return {
    // The parent refuses the waiting work when its processes end.
    close: () => undefined,
    get waiting() {
      return waiting;
    },
    run: async (asking, work) => {
      waiting += 1;
      const held = await holdOf(link, name, { who: asking }).finally(() => (waiting -= 1));
      try {
        return await work();
      } finally {
        held.release();
      }
    },
  };
}

/** An upload counts as stalled after three seconds; one message per second reports its bytes early enough. */
const PROGRESS_MS = 1000;

/** Reports arrived bytes late, never early: an upload must not count as stalled while bytes arrive. */
function reportProgress(held: Held): Pick<Upload, "arrived" | "received"> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isReceived = false;
  return {
    arrived: () => {
      if (isReceived) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        held.note("arrived");
      }, PROGRESS_MS).unref();
    },
    received: () => {
      clearTimeout(timer);
      if (!isReceived) held.note("received");
      isReceived = true;
    },
  };
}
