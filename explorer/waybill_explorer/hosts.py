"""Refuses requests that name a host this backend does not have, and recognizes those of other sites' pages.

A page of another site can make its own name resolve to 127.0.0.1 (DNS rebinding). For the browser it then talks to its
own site and may read every answer; what it cannot change is the Host header, which keeps the site's name.
"""

import ipaddress
from collections.abc import Collection
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers


def is_allowed(host: str, names: Collection[str]) -> bool:
    """Return whether a Host header names this machine's loopback or one of `names` (patterns with *), on any port.

    A request without the header passes: every browser sends it.
    """
    if not host:
        return True
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name) or any(fnmatchcase(name, pattern) for pattern in names)


def is_same_origin(headers: Headers, host_url: str) -> bool:
    """Return whether a request is not of another site's page. Programs send neither header, browsers one or both."""
    origin = headers.get("Origin")
    site = headers.get("Sec-Fetch-Site", "same-origin")
    return site in ("same-origin", "none") and (origin is None or origin == host_url.rstrip("/"))


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
