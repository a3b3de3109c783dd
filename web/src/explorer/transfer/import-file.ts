// A file into the explorer's server, which reads its format and says how far it is.
import { ApiError } from "../common/api.ts";

/** How many items were stored, were stored already, and could not be. */
export interface Counts {
  stored: number;
  known: number;
  refused: number;
}
export interface Imported {
  traces: { traceID: string; spans: number; stored: number }[];
  traceCount: number;
  spans: Counts;
  logs: Counts;
  points: Counts;
  unread: number;
  /** All of it in words. */
  summary: string;
  problems: string[];
}
interface Line {
  done?: number;
  data?: Imported | null;
  errors?: { msg: string }[] | null;
}

/** Store what a file holds; `show` is called with how much of it is done, 0 to 1. Throws ApiError. */
export async function importFile(file: File, show: (done: number) => void): Promise<Imported> {
  const headers = { Accept: "application/x-ndjson", "Content-Type": "application/octet-stream" };
  const response = await fetch("/api/import", { method: "POST", headers, body: file }).catch(() => {
    throw new ApiError("the explorer's server does not respond, or the file cannot be read", 0);
  });
  let last: Line = {};
  for await (const line of linesOf(response)) {
    last = JSON.parse(line) as Line;
    if (last.done !== undefined) show(last.done);
  }
  if (last.data) return last.data;
  throw new ApiError(last.errors?.[0]?.msg ?? "the server did not finish: import the file again", response.status);
}

async function* linesOf(response: Response): AsyncGenerator<string> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest) yield rest;
}
