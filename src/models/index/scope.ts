// Where derived data belongs, and what can be wrong with it.

/** One (channel, section, family) whose parts are kept at a revision of the channel. */
export type DerivedPlace = { readonly channelId: number; readonly section: string; readonly family: string };

export type PlaceBindings = { channelId: number; section: string; family: string };

export const PLACE = "channel_id = $channelId AND section = $section AND family = $family";

export function bindingsOf({ channelId, section, family }: DerivedPlace): PlaceBindings {
  return { channelId, section, family };
}

/** Another process keeps the file: the work can be tried again. */
export class DerivedBusy extends Error {
  override readonly name = "DerivedBusy";
}

/** What was read is not what was written: all of its channel has to go. */
export class DerivedDamaged extends Error {
  override readonly name = "DerivedDamaged";
}
