// Where a span is shown, it can be named as evidence in a lab, if there are labs and one is on.
import { hasLabs } from "./config.ts";
import { lazy } from "./lazy.tsx";

interface Props {
  traceId: string;
  spanId: string;
}
const Evidence = lazy<Props>(async () => (await import("../labs/evidence.tsx")).Evidence);

export const UseAsEvidence = (props: Props) => (hasLabs() ? <Evidence {...props} /> : null);
