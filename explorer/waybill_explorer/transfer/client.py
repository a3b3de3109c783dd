"""Files into a running explorer and out of it, for the command line."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import requests

from waybill_explorer.client import ClientError, TraceApi, json_of, new_session, request, valid_trace_id

TOGETHER = 50
"""Traces of one request: their ids must fit the 4,094 bytes of a request line."""


def import_file(api: TraceApi, path: Path, show: Callable[[float], None]) -> dict[str, Any]:
    """Send a file and return what came of it; `show` is called with how much of it is done, 0 to 1.

    Raise ClientError if the file cannot be read or was refused.
    """
    try:
        with path.open("rb") as file:
            response = _send(api, file)
            last: Any = None
            for line in response.iter_lines():
                last = json.loads(line)
                if isinstance(last, dict) and "done" in last:
                    show(last["done"])
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError:
        last = None
    if not isinstance(last, dict) or "errors" not in last:
        raise ClientError(f"{response.url} answers {response.status_code}, not as an explorer: is the URL right?")
    if last["errors"]:
        raise ClientError(f"{path}: {last['errors'][0]['msg']}")
    return dict(last["data"])


def _send(api: TraceApi, file: IO[bytes]) -> requests.Response:
    url = f"{api.base}/api/import"
    headers = {"Accept": "application/x-ndjson", "Content-Type": "application/octet-stream"}
    # requests sends an empty file in chunks, which it does not end.
    data: Any = file if os.fstat(file.fileno()).st_size else b""
    return request(
        new_session(), "POST", url, who="the explorer", advice=api.advice, data=data, headers=headers, stream=True
    )


def export_traces(api: TraceApi, trace_ids: Sequence[str]) -> Iterator[str]:
    """Yield lines of OTLP/JSON with the traces and their logs. Raise ClientError if one is not stored."""
    ids = [valid_trace_id(text) for text in trace_ids]
    for first in range(0, len(ids), TOGETHER):
        response = api.get("/api/export", traceID=ids[first : first + TOGETHER])
        body = json_of(response)
        if isinstance(body, dict) and body.get("errors"):
            raise ClientError(f"{api.base}: {body['errors'][0]['msg']}")
        if not response.ok or not isinstance(body, dict) or "resourceSpans" not in body:
            raise ClientError(f"{response.url} answers {response.status_code}, not traces: is it an explorer?")
        yield response.text
