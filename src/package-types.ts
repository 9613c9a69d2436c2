// The package types of this server, a row for each.

import { condaType } from "./services/conda/type.ts";
import { createPackageTypes, type PackageTypes } from "./services/package-type.ts";

export const PACKAGE_TYPES: PackageTypes = createPackageTypes([condaType]);
