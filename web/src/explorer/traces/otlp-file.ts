// A file of OTLP/JSON, as this page exports it and other tools write it, into the explorer's server.
import { ask, getData } from "../common/api.ts";
import { address } from "../common/router.ts";

interface Scoped {
  spans?: unknown[];
  logRecords?: unknown[];
  [other: string]: unknown;
}
interface Part {
  scopeSpans?: Scoped[];
  scopeLogs?: Scoped[];
  [other: string]: unknown;
}

const BATCH = 1000;

/** Send what the file holds and give the first trace id in it; a trace that is already there is left as it is. */
export async function importFile(file: File): Promise<string> {
  let body: { resourceSpans?: Part[]; resourceLogs?: Part[] };
  try {
    body = JSON.parse(await file.text()) as typeof body;
  } catch {
    throw new Error(`${file.name} is not JSON.`);
  }
  const spanParts = Array.isArray(body?.resourceSpans) ? body.resourceSpans : [];
  const first = spanParts.flatMap((part) => part.scopeSpans ?? []).flatMap((scope) => scope.spans ?? [])[0] as
    | { traceId?: string }
    | undefined;
  if (!first?.traceId) throw new Error(`${file.name} has no OTLP/JSON spans (resourceSpans) in it.`);
  const traceId = first.traceId.toLowerCase();
  if (await isKnown(traceId)) return traceId;
  for (const part of batches(spanParts, "scopeSpans", "spans")) await post("/v1/traces", { resourceSpans: [part] });
  for (const part of batches(body.resourceLogs ?? [], "scopeLogs", "logRecords")) {
    await post("/v1/logs", { resourceLogs: [part] });
  }
  return traceId;
}

const isKnown = async (traceId: string): Promise<boolean> =>
  (await getData<unknown[]>(address("/api/traces", { traceID: traceId }))).length > 0;

/** One export may have 8 MiB, so a large part goes in several. */
function* batches(parts: Part[], scopes: "scopeSpans" | "scopeLogs", items: "spans" | "logRecords"): Generator<Part> {
  for (const part of parts) {
    for (const scope of part[scopes] ?? []) {
      const all = scope[items] ?? [];
      for (let i = 0; i < all.length; i += BATCH) {
        yield { ...part, [scopes]: [{ ...scope, [items]: all.slice(i, i + BATCH) }] };
      }
    }
  }
}

async function post(path: string, body: unknown): Promise<void> {
  const headers = { "Content-Type": "application/json" };
  const text = await ask(path, { method: "POST", headers, body: JSON.stringify(body) });
  const answer = JSON.parse(text) as { partialSuccess?: { errorMessage?: string } };
  if (answer.partialSuccess?.errorMessage) throw new Error(`Not all of it was taken: ${answer.partialSuccess.errorMessage}`);
}
