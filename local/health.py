"""Health checks of one process, in a thread of their own: a hung process takes long not to respond."""

import contextlib
import http.client
import threading
import time
from urllib.parse import urlsplit

import redis

READY_SECONDS = 0.1
LIVE_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
"""Generous: a slow machine is not a failure."""


class Health(threading.Thread):
    """Queries `ready` until it succeeds once, then `live` every few seconds until `ended` is set."""

    def __init__(self, ready: str, live: str | None) -> None:
        super().__init__(daemon=True)
        self.ready_url = ready
        self.live_url = live
        self.ready = False
        self.failures = 0
        """Failed liveness checks in a row."""
        self.responded_at = time.monotonic()
        self.ended = threading.Event()

    def run(self) -> None:
        """Query until `ended` is set, or until the process is ready if it has no liveness check."""
        while not self.ready and not self.ended.wait(READY_SECONDS):
            self.ready = responds(self.ready_url, TIMEOUT_SECONDS)
            self.responded_at = time.monotonic()
        while self.live_url and not self.ended.wait(LIVE_SECONDS):
            if responds(self.live_url, TIMEOUT_SECONDS):
                self.failures, self.responded_at = 0, time.monotonic()
            else:
                self.failures += 1


def responds(url: str, timeout: float) -> bool:
    """Return whether http://... responds 200, or redis://... to a PING, within `timeout` seconds of silence."""
    address = urlsplit(url)
    try:
        if address.scheme == "redis":
            with redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=None) as cache:
                return bool(cache.ping())
        with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=timeout)) as connection:
            connection.request("GET", address.path)
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException, redis.RedisError):
        return False
