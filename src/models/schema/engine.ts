// The database engine of this process. The tables are chosen when they are imported, so one process has one engine.

export type Engine = "sqlite" | "postgres";

/** From the environment, which a process hands to its threads: the command line sets it before it imports a model. */
export const databaseUrl = process.env["CONDARIUM_DATABASE"];

export const engine: Engine = databaseUrl === undefined ? "sqlite" : "postgres";

/** The variant of a value for this engine, where SQL differs. */
export function byEngine<T>(variants: Readonly<Record<Engine, T>>): T {
  return variants[engine];
}
