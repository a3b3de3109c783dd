"""The deploy log of the company: a log record of the service `deployments` for each change, as OTLP/JSON.

It says what any deploy log says, and so never what a change is for. Without a backend nothing is sent.
"""

import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import requests

from local.settings import HOST, LocalSettings
from waybill_explorer.client import new_session

TIMEOUT_SECONDS = 60
INFO = 9
"""severity_number of OTLP."""


def announce(settings: LocalSettings, texts: Iterable[tuple[str, str]]) -> None:
    """Send a record for each (name of what was deployed, text)."""
    now = str(time.time_ns())
    records = [
        {
            "timeUnixNano": now,
            "observedTimeUnixNano": now,
            "severityNumber": INFO,
            "severityText": "INFO",
            "body": {"stringValue": text},
            "attributes": _attributes(
                {
                    "deployment.id": uuid.uuid4().hex[:12],
                    "deployment.name": name,
                    "deployment.status": "succeeded",
                }
            ),
        }
        for name, text in texts
    ]
    if not records:
        return
    resource = {"service.name": "deployments", "deployment.environment.name": "local"}
    body = {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeLogs": [{"scope": {"name": "deployments"}, "logRecords": records}],
            }
        ]
    }
    with suppress(requests.RequestException), new_session() as session:
        session.post(f"http://{HOST}:{settings.otlp_http_port}/v1/logs", json=body, timeout=TIMEOUT_SECONDS)


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
