// The same as e2e/refusals.test.ts, ten times as often: a status that arrives most of the time is a race.

import { describeRefusals } from "../e2e/refusals.ts";

describeRefusals({ times: 100, limitMs: 600_000 });
