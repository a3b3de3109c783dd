"""`python -IS ready.py`: ends with 0 if the service of this container is ready. A health check without a shell.

Run as a file, in isolated mode, with a socket alone: importing the package or site-packages takes a second of CPU, and
`http.client` three times as much as all the rest, each time that the container is checked.
"""

import os
import socket
import sys

TIMEOUT_SECONDS = 4
REQUEST = b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def main() -> None:
    """Request /readyz on PORT and print to stderr why the service is not ready."""
    try:
        with socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), TIMEOUT_SECONDS) as connection:
            connection.sendall(REQUEST)
            response = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        sys.exit(f"no response: {error}")
    head, _, body = response.partition(b"\r\n\r\n")
    if head.split(maxsplit=2)[1:2] != [b"200"]:
        sys.exit(body.decode(errors="replace") or "no HTTP response")


if __name__ == "__main__":
    main()
