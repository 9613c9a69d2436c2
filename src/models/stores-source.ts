// Where the data of a server is, in a form that a worker thread can be sent, to open the same stores.

import type { StorageDescription } from "../modules/storage/description.ts";

export type StoresSource = {
  readonly dataFolder: string;
  readonly storage: StorageDescription;
};
