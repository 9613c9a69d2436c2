import { describeRefusals } from "./refusals.ts";

describeRefusals({ times: 10, limitMs: 120_000 });
