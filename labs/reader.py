"""`python -m labs.reader URL`: a back office that reads a page again and again."""

import sys
import time
from contextlib import suppress

import requests

from waybill_explorer.client import new_session

PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 30


def main(url: str) -> None:
    """Read a page until the process is stopped; what the server does meanwhile does not end it."""
    with new_session() as session:
        while True:
            with suppress(requests.RequestException):
                session.get(url, timeout=TIMEOUT_SECONDS)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
