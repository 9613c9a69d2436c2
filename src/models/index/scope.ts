// The key under which derived data is stored, and the errors of reading it.

/** Derived data is stored per channel, view of it, section and document layout; each scope is at one revision. */
export type IndexScope = {
  readonly channelId: number;
  readonly view: string;
  /** `WHOLE_CHANNEL` for documents of the entire channel. */
  readonly section: string;
  readonly layout: string;
};

/** The view that the plain URL of a channel shows. */
export const PLAIN_VIEW = "main";
/** Used in place of a section for the entire channel. */
export const WHOLE_CHANNEL = "";

export type ScopeBindings = { channelId: number; view: string; section: string; layout: string };

export const SCOPE = "channel_id = $channelId AND view = $view AND section = $section AND layout = $layout";

export function bindingsOf({ channelId, view, section, layout }: IndexScope): ScopeBindings {
  return { channelId, view, section, layout };
}

/** A string that is unique per scope. */
export function scopeKey({ channelId, view, section, layout }: IndexScope): string {
  return `${channelId} ${view} ${section} ${layout}`;
}

/** Another process has locked the file: the caller can retry. */
export class DerivedBusy extends Error {
  override readonly name = "DerivedBusy";
}

/** A row is missing or does not match its checksum: all derived data of its channel must be discarded. */
export class DerivedDamaged extends Error {
  override readonly name = "DerivedDamaged";
}
