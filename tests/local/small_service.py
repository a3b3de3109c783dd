"""A small service for the supervisor's tests, by itself or under gunicorn (`small_service:app`).

`python small_service.py PORT NAME [MANNER]`: responds 200 on PORT and on SIGTERM writes NAME to FOLDER/stopped.
Manners: deaf ignores SIGTERM, broken fails on start, broken-later does so once `broken` is a file, late does not
respond until `go` is a file, tidy logs for a while before it stops, overloaded logs but responds to nothing once ready.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def app(_environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


class Handler(BaseHTTPRequestHandler):
    overloaded = False
    requests = 0

    def do_GET(self) -> None:
        Handler.requests += 1
        while self.overloaded and Handler.requests > 1:
            sys.stdout.write(f"request {Handler.requests} is still queued\n")
            sys.stdout.flush()
            time.sleep(0.1)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(port: int, name: str, manner: str = "") -> None:
    folder = Path(os.environ["FOLDER"])
    if manner == "broken" or (manner == "broken-later" and (folder / "broken").exists()):
        sys.exit("PAYMENT_PORT is not a number")

    while manner == "late" and not (folder / "go").exists():
        time.sleep(0.05)
    Handler.overloaded = manner == "overloaded"

    def stop(*_: object) -> None:
        for number in range(20 * (manner == "tidy")):
            sys.stdout.write(f"request {number} of 20 is finished\n")
            sys.stdout.flush()
            time.sleep(0.1)
        if manner != "deaf":
            with (folder / "stopped").open("a") as file:
                file.write(f"{name}\n")
            sys.exit()

    signal.signal(signal.SIGTERM, stop)
    line = {"timestamp": "2026-11-22T21:47:09.123+00:00", "level": "WARNING", "message": "few left"}
    sys.stdout.write(json.dumps(line | {"trace_id": "0af7651916cd43dd8448eb211c80319c"}) + "\n")
    sys.stdout.flush()
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
