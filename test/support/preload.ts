// Before every test file: tests start servers and real clients, which takes longer than a unit's few milliseconds.

import { setDefaultTimeout } from "bun:test";

setDefaultTimeout(60_000);
