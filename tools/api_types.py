"""Rebuild the TypeScript types of order-service's API from its OpenAPI document: `python -m tools.api_types`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TYPES = ROOT / "web" / "src" / "storefront" / "order-api.ts"
BANNER = "// Written by `make api-types` from order-service's OpenAPI document; a test keeps it fresh.\n\n"
SETTINGS = {
    "DATABASE_URL": "postgresql+psycopg://localhost/unused",
    "INVENTORY_URL": "http://localhost",
    "PAYMENT_URL": "http://localhost",
    "NOTIFICATION_URL": "http://localhost",
    "OTEL_SDK_DISABLED": "true",
}
DOCUMENT = "import json, services.order; print(json.dumps(services.order.create_app().api_doc))"


def rendered() -> str:
    """Return the content of the file; the service runs in a process of its own, because it sets up telemetry."""
    document = _output(sys.executable, "-c", DOCUMENT)
    return BANNER + _output(Path(sys.executable).with_name("node"), "web/api-types.mjs", stdin=document)


def _output(*command: str | Path, stdin: str = "") -> str:
    environment = {**os.environ, **SETTINGS}
    return subprocess.run(
        command, cwd=ROOT, env=environment, input=stdin, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    TYPES.write_text(rendered())
