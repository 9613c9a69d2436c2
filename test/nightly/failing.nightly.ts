// The disk fails single system calls under load, at their first use, and at later ones.

import { describeFailingCalls } from "../support/faulted/failing-calls.ts";

describeFailingCalls([1, 2, 3, 5, 8, 13]);
