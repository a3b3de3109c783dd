// OpenTelemetry of this page: its loading, its requests, its web vitals. The clicks are in interaction.ts.

import { context, propagation, trace, type SpanContext } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { DocumentLoadInstrumentation } from "@opentelemetry/instrumentation-document-load";
import { FetchInstrumentation } from "@opentelemetry/instrumentation-fetch";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, StackContextManager, TracerProvider } from "@opentelemetry/sdk-trace";
import { onCLS, onFCP, onINP, onLCP, onTTFB, type Metric } from "web-vitals";
import type { PageConfig } from "./api.ts";

/** Trace this page from here on; `endpoint` takes OTLP/HTTP, e.g. http://127.0.0.1:4318. */
export function startTelemetry(endpoint: string, config: PageConfig): void {
  let load: SpanContext | undefined;
  reportWebVitals(() => load);
  trace.setGlobalTracerProvider(
    new TracerProvider({
      // The default resource names the SDK, which shows that these spans come from a browser.
      resource: defaultResource().merge(
        resourceFromAttributes({
          "service.name": "storefront",
          "service.version": config.version,
          "service.instance.id": crypto.randomUUID(),
          "deployment.environment.name": config.deployment_environment,
        }),
      ),
      spanProcessors: [
        // A person waits for the trace: batches leave every second; and the last one when the page is hidden.
        new BatchSpanProcessor({
          exporter: new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }),
          scheduledDelayMillis: 1000,
        }),
      ],
    }),
  );
  context.setGlobalContextManager(new StackContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  registerInstrumentations({
    instrumentations: [
      new FetchInstrumentation({ ignoreNetworkEvents: true }),
      new DocumentLoadInstrumentation({
        applyCustomAttributesOnSpan: { documentLoad: (span) => (load = span.spanContext()) },
      }),
    ],
  });
}

/**
 * One span with the page's vitals when it is first hidden, since only then they are final; linked to its loading.
 *
 * web-vitals' listeners come first on that event, then ours, then the span processor's, which sends the span.
 */
function reportWebVitals(load: () => SpanContext | undefined): void {
  const vitals = new Map<string, Metric>();
  const note = (metric: Metric) => void vitals.set(metric.name, metric);
  for (const observe of [onTTFB, onFCP, onLCP, onINP, onCLS]) observe(note);

  const report = () => {
    if (document.visibilityState !== "hidden" || vitals.size === 0) return;
    document.removeEventListener("visibilitychange", report, true);
    const loading = load();
    const span = trace.getTracer("storefront").startSpan("web vitals", { links: loading ? [{ context: loading }] : [] });
    for (const { name, value, rating } of vitals.values()) {
      span.setAttribute(`web_vital.${name.toLowerCase()}`, value); // ms; CLS has no unit
      span.setAttribute(`web_vital.${name.toLowerCase()}.rating`, rating);
    }
    span.end();
  };
  document.addEventListener("visibilitychange", report, true);
}
