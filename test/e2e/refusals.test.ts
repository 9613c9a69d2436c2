import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { hasNginx, type Refusals, ROUTES, SIZES, startRefusals, STATUSES } from "./refusals.ts";

const TIMES = 10;

describe.skipIf(!hasNginx)("the status of a refused upload", () => {
  let refusals: Refusals;
  beforeAll(async () => {
    refusals = await startRefusals();
  });
  afterAll(() => refusals.stop());

  for (const route of ROUTES) {
    test.each(STATUSES)(`%d reaches curl ${route} every time`, async (status) => {
      for (const size of SIZES)
        expect([size, await refusals.send(route, status, size, TIMES)]).toEqual([size, { [status]: TIMES }]);
    });
  }
});
