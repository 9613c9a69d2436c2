import { describe, expect, test } from "bun:test";
import { createMetrics } from "../../src/modules/metrics.ts";

describe("metrics", () => {
  test("count, set and observe values under their labels", async () => {
    const metrics = createMetrics();
    const requests = metrics.counter("requests_total", "Requests", ["route"]);
    requests.add({ route: "a" });
    requests.add({ route: "a" }, 4);
    requests.add({ route: 'b"\n' });
    const open = metrics.gauge("open", "Open", []);
    open.add({}, 3);
    open.add({}, -1);
    metrics.histogram("seconds", "Seconds", ["kind"]).observe({ kind: "x" }, 0.02);
    let waiting = 7;
    metrics.observe("waiting", "Waiting", () => waiting);
    waiting = 9;
    const lines = (await metrics.render()).split("\n");
    expect(lines).toContain('requests_total{route="a"} 5');
    expect(lines).toContain(String.raw`requests_total{route="b\"\n"} 1`);
    expect(lines).toContain("open 2");
    expect(lines).toContain('seconds_bucket{le="0.025",kind="x"} 1');
    expect(lines).toContain('seconds_count{kind="x"} 1');
    expect(lines).toContain("waiting 9");
    expect(lines).toContain("# TYPE requests_total counter");
    expect(metrics.contentType).toStartWith("text/plain");
  });

  test("of two apps in one process are separate", async () => {
    const [one, two] = [createMetrics(), createMetrics()];
    one.counter("same_total", "Same", []).add({}, 5);
    two.counter("same_total", "Same", []).add({}, 1);
    expect(await one.render()).toContain("same_total 5");
    expect(await two.render()).toContain("same_total 1");
  });
});
