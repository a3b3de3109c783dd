"""The page's critical path and bottleneck are the command line's: random trees, both algorithms, one answer."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT
from waybill_explorer.trace_tree import bottleneck, critical_path, read_trace

MODULE = ROOT / "web" / "src" / "explorer" / "trace" / "trace-tree.ts"
ANSWERS = f"""
import {{ bottleneck, criticalPath, readTrace }} from {json.dumps(MODULE.as_uri())};
import {{ readFileSync }} from "node:fs";
const answers = JSON.parse(readFileSync(0, "utf8")).map((data) => {{
  const trace = readTrace(data);
  const path = criticalPath(trace.root);
  const worst = bottleneck(trace.root, path);
  return {{
    root: trace.root.spanId,
    services: trace.services,
    missing: [...trace.missing].sort(),
    starts: Object.fromEntries([...trace.spans.values()].map((span) => [span.spanId, span.start])),
    path: Object.fromEntries([...path].map(([span, sections]) => [span.spanId, sections])),
    worst: worst && [worst.service, worst.name, worst.time, worst.total, worst.span.spanId],
  }};
}});
console.log(JSON.stringify(answers));
"""


def random_trace(seed: int) -> dict[str, Any]:
    """Spans of up to four services whose parents may come later, be missing, form a ring, or be left by their child."""
    rng = random.Random(seed)
    ids = [f"{number:016x}" for number in range(1, rng.randint(2, 40))]
    spans = []
    for number, span_id in enumerate(ids):
        parents = [*ids[:number], "f" * 16] if rng.random() < 0.9 else ids
        references = [
            {"refType": rng.choice(["CHILD_OF"] * 5 + ["FOLLOWS_FROM"]), "traceID": "t", "spanID": rng.choice(parents)}
            for _ in range(number > 0 and rng.random() < 0.95)
        ]
        spans.append(
            {
                "traceID": "t",
                "spanID": span_id,
                "operationName": rng.choice(["GET /a", "GET /b", "SELECT"]),
                "references": references,
                "startTime": 1_700_000_000_000_000 + rng.randint(0, 1000),
                "duration": rng.choice([0, 1, rng.randint(1, 2000)]),
                "tags": [{"key": "span.kind", "value": rng.choice(["server", "client", "internal", "consumer"])}],
                "logs": [],
                "processID": rng.choice(["p1", "p2", "p3", "p4"]),
            }
        )
    processes = {f"p{n}": {"serviceName": f"service-{n // 2}", "tags": []} for n in range(1, 5)}
    return {"traceID": "t", "spans": spans, "processes": processes}


def answer(data: dict[str, Any]) -> dict[str, Any]:
    trace = read_trace(data)
    path = critical_path(trace.root)
    worst = bottleneck(trace.root, path)
    return {
        "root": trace.root.span_id,
        "services": trace.services,
        "missing": sorted(trace.missing),
        "starts": {span.span_id: span.start for span in trace.spans},
        "path": {span_id: [list(section) for section in sections] for span_id, sections in path.items()},
        "worst": worst and [worst.service, worst.name, worst.time, worst.total, worst.span.span_id],
    }


def test_the_page_and_the_command_line_find_the_same_critical_path_and_bottleneck() -> None:
    traces = [random_trace(seed) for seed in range(300)]
    node = Path(sys.executable).with_name("node")
    command = [str(node), "--input-type=module", "--disable-warning=ExperimentalWarning", "--eval", ANSWERS]
    result = subprocess.run(command, input=json.dumps(traces), capture_output=True, text=True, check=True)
    for data, found in zip(traces, json.loads(result.stdout), strict=True):
        assert found == answer(data)
