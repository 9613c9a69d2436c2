// The disk fails single system calls under load: the short run of `bun run nightly failing`.

import { describeFailingCalls } from "./support/faulted/failing-calls.ts";

describeFailingCalls([1]);
