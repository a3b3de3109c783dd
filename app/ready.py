"""`python -IS ready.py`: ends with 0 if the service of this container is ready. A health check without a shell.

Run as a file, in isolated mode: importing the package or site-packages takes a second of CPU, every few seconds.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> None:
    """Ask /readyz on PORT; what it says goes to stderr."""
    connection = HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=4)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, HTTPException) as error:
        sys.exit(f"no answer: {error}")
    if response.status != 200:
        sys.exit(body)


if __name__ == "__main__":
    main()
