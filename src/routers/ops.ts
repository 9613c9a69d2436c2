// Routes for operators: the welcome page, health checks and metrics.

import { Elysia } from "elysia";
import type { Rendering } from "../modules/metrics.ts";
import type { Access } from "../services/access.ts";
import type { Health } from "../services/health.ts";
import { actorOf } from "./actor.ts";
import type { Call, Pipeline } from "./request-pipeline.ts";

export type OpsParts = { readonly health: Health; readonly metrics: Rendering; readonly access: Access };

export function opsRoutes(parts: OpsParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `ops${prefix}` });
  const routes = [
    ["/", welcome],
    ["/health/live", () => plain(200, "ok")],
    ["/health/ready", () => ready(parts)],
    ["/metrics", (call: Call) => guardedMetrics(parts, call)],
  ] as const;
  for (const [path, work] of routes) {
    const handle = ({ request }: { request: Request }) => pipeline.handle(request, path, work);
    app.get(prefix + path, handle).head(prefix + path, handle);
  }
  return app;
}

/** The metrics in the Prometheus text format, for the main port and for the port of `metrics-listen`. */
export async function metricsResponse(metrics: Rendering): Promise<Response> {
  const headers = { "content-type": metrics.contentType, "cache-control": "no-store" };
  return new Response(await metrics.render(), { headers });
}

function welcome(): Response {
  return plain(200, "This is a condarium server. Conda channels are at /{owner}/{channel}.");
}

async function ready({ health }: OpsParts): Promise<Response> {
  const problems = await health.problems();
  if (problems.length === 0) return plain(200, "ok");
  const parts = problems.map(({ part }) => part).join(", ");
  const detail = `The server is not ready: ${parts}.`;
  const body = { type: "about:blank", title: "Not ready", status: 503, detail, problems };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store", "retry-after": "5" };
  return new Response(`${JSON.stringify(body)}\n`, { status: 503, headers });
}

async function guardedMetrics(parts: OpsParts, call: Call): Promise<Response> {
  await parts.access.require(await actorOf(call), "metrics", { kind: "server" });
  return await metricsResponse(parts.metrics);
}

function plain(status: number, text: string): Response {
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  return new Response(`${text}\n`, { status, headers });
}
