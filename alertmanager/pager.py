"""The pager of the container stack: a page with the notifications of Alertmanager, the newest first, and the runbooks.

It takes the place of what reaches an on-call, so that a fault can be followed on this machine from the notification to
its runbook and to the notification that it is over. Run as a file, in isolated mode: it needs the standard library
alone. Notifications are kept in memory, the newest 200.

    POST /               a notification, in the JSON of Alertmanager's webhooks
    GET  /               the page
    GET  /notifications  the same as JSON
    GET  /runbooks       docs/runbooks.md, each heading with the anchor that GitHub gives it
    GET  /readyz         for the health check
"""

import json
import os
import re
from collections import deque
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RUNBOOKS = Path(__file__).with_name("runbooks.md")
MAX_BYTES = 1 << 20
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884 }
.firing { color: light-dark(#b00020, #ff8a80) } .resolved { color: light-dark(#1b6e2c, #81c995) }
pre { white-space: pre-wrap } :target { background: #ffd54f55 }
"""

notifications: deque[dict[str, Any]] = deque(maxlen=200)


def received(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a notification for each alert of a webhook's payload."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "at": now,
            "status": str(alert["status"]),
            "alert": str(alert["labels"]["alertname"]),
            "severity": str(alert["labels"].get("severity", "")),
            "summary": str(alert["annotations"].get("summary", "")),
            "runbook_url": str(alert["annotations"].get("runbook_url", "")),
            "starts_at": str(alert["startsAt"]),
        }
        for alert in payload["alerts"]
    ]


def page() -> str:
    """Return the notifications as HTML that renews itself."""
    rows = (
        "".join(map(_row, reversed(notifications))) or '<tr><td colspan="5">None so far. That is good news.</td></tr>'
    )
    heading = "<tr><th>At (UTC)<th>Status<th>Severity<th>What<th>What to do</tr>"
    return _html("Pager", f'<meta http-equiv="refresh" content="5"><table>{heading}{rows}</table>')


def _row(notification: dict[str, Any]) -> str:
    cells = {name: escape(text) for name, text in notification.items()}
    url = cells["runbook_url"]
    link = f'<a href="{url}">runbook</a>' if url.startswith(("http://", "https://")) else ""
    return (
        f'<tr><td>{cells["at"][11:19]}<td class="{cells["status"]}">{cells["status"]}<td>{cells["severity"]}'
        f"<td><b>{cells['alert']}</b><br>{cells['summary']}<td>{link}</tr>"
    )


def runbooks(text: str) -> str:
    """Return a Markdown document as HTML: its headings as such, with anchors, and the rest as it is written."""
    parts = re.split(r"^(#+) +(.+?) *$", text, flags=re.MULTILINE)
    sections = [f"<pre>{escape(parts[0])}</pre>"] if parts[0].strip() else []
    for marks, heading, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        level = f"h{len(marks)}"
        sections.append(f'<{level} id="{anchor}">{escape(heading)}</{level}><pre>{escape(body.strip())}</pre>')
    return _html("Runbooks", "".join(sections))


def _html(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}<h1>{title}</h1>{body}</html>'


class Handler(BaseHTTPRequestHandler):
    """The five routes."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    """Seconds that a connection may be silent."""

    def do_GET(self) -> None:
        """Respond with the page, the notifications or the runbooks."""
        if self.path == "/":
            self._respond(page(), "text/html")
        elif self.path == "/notifications":
            self._respond(json.dumps([*notifications]), "application/json")
        elif self.path == "/runbooks":
            self._respond(runbooks(RUNBOOKS.read_text()), "text/html")
        elif self.path == "/readyz":
            self._respond('{"status": "ready"}', "application/json")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Keep a notification and print it, one line for each alert."""
        # A page of another origin can send a form, but no JSON: no notification is forged by it.
        if self.path != "/" or self.headers.get_content_type() != "application/json":
            self.send_error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= MAX_BYTES:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            news = received(json.loads(self.rfile.read(length)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.send_error(HTTPStatus.UNPROCESSABLE_ENTITY, explain=f"not a webhook of Alertmanager: {error!r}")
            return
        notifications.extend(news)
        for notification in news:
            print(json.dumps(notification), flush=True)  # noqa: T201
        self._respond("{}", "application/json")

    def _respond(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print notifications alone, not requests."""


if __name__ == "__main__":
    ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
