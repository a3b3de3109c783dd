"""A small service for the supervisor's tests, by itself or under gunicorn (`small_service:app`).

`python small_service.py PORT NAME [deaf|broken|broken-later]`: answers 200 on PORT and writes NAME to `stopped` in
its folder on SIGTERM; deaf ignores SIGTERM, broken fails on start, broken-later does so once `broken` is a file.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def app(_environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(port: int, name: str, manner: str = "") -> None:
    folder = Path(os.environ["FOLDER"])
    if manner == "broken" or (manner == "broken-later" and (folder / "broken").exists()):
        sys.exit("PAYMENT_PORT is not a number")

    def stop(*_: object) -> None:
        if manner != "deaf":
            with (folder / "stopped").open("a") as file:
                file.write(f"{name}\n")
            sys.exit()

    signal.signal(signal.SIGTERM, stop)
    line = {"timestamp": "2026-11-22T21:47:09.123+00:00", "level": "WARNING", "message": "few left"}
    sys.stdout.write(json.dumps(line | {"trace_id": "0af7651916cd43dd8448eb211c80319c"}) + "\n")
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
