"""`python -m app.ready` exits with 0 if the service of this container is ready: a health check without a shell."""

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> None:
    """Request /readyz on PORT and print why the service is not ready to stderr."""
    connection = HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=4)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, HTTPException) as error:
        sys.exit(f"no response: {error}")
    if response.status != 200:
        sys.exit(body)


if __name__ == "__main__":
    main()
