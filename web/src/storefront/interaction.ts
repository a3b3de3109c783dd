// A click of the user as the root of a trace. Without telemetry, all of this does nothing.

import { context, SpanStatusCode, trace } from "@opentelemetry/api";

export interface Interaction {
  /** Run `work` as a part of this: requests that it begins before its first await are children of the click. */
  run<T>(work: () => T): T;
  /** The user has been answered; later requests may still belong to it. */
  end(failure?: string): void;
}

const tracer = trace.getTracer("storefront");

/** Begin the span of a click, at the moment of the event; `name` is the label of the button. */
export function beginInteraction(name: string, event: Event): Interaction {
  const attributes = { "app.widget.name": name, "url.path": location.pathname };
  const span = tracer.startSpan(`click ${name}`, { startTime: event.timeStamp, attributes });
  const active = trace.setSpan(context.active(), span);
  return {
    run: (work) => context.with(active, work),
    end: (failure) => {
      if (failure) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
      span.end();
    },
  };
}
