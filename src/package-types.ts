// The package types this server knows. Shared code never switches on a type: it asks the object.

import { condaType } from "./services/conda/type.ts";
import type { PackageType } from "./services/package-type.ts";

export const PACKAGE_TYPES: readonly PackageType[] = [condaType];
