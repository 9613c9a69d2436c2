// What a part of the derived data belongs to, and what can be wrong with it.

/** What is kept for one layout of documents, of a section as a view shows it, at a revision of the channel. */
export type IndexScope = {
  readonly channelId: number;
  readonly view: string;
  /** `WHOLE_CHANNEL` for documents of the channel as a whole. */
  readonly section: string;
  readonly layout: string;
};

/** What the plain address of a channel shows. */
export const PLAIN_VIEW = "main";
/** Stands for all sections. */
export const WHOLE_CHANNEL = "";

export type ScopeBindings = { channelId: number; view: string; section: string; layout: string };

export const SCOPE = "channel_id = $channelId AND view = $view AND section = $section AND layout = $layout";

export function bindingsOf({ channelId, view, section, layout }: IndexScope): ScopeBindings {
  return { channelId, view, section, layout };
}

/** One text for each scope. */
export function scopeKey({ channelId, view, section, layout }: IndexScope): string {
  return `${channelId} ${view} ${section} ${layout}`;
}

/** Another process keeps the file: the work can be tried again. */
export class DerivedBusy extends Error {
  override readonly name = "DerivedBusy";
}

/** What was read is not what was written: all of its channel has to go. */
export class DerivedDamaged extends Error {
  override readonly name = "DerivedDamaged";
}
