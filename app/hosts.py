"""The host names that a service answers for: a foreign page whose name is made to resolve to this machine is refused.

That attack, DNS rebinding, makes the service same-origin with the page, so no CORS or cookie rule stops it; only the
Host field still carries the page's name.
"""

from functools import lru_cache

from flask import Flask, request
from werkzeug.exceptions import BadRequest, MisdirectedRequest
from werkzeug.sansio.utils import host_is_trusted

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY = "*"


def init_app(app: Flask, allowed: tuple[str, ...]) -> None:
    """Answer 421 on every route of `app` unless the host is a loopback name or `allowed`; ports do not matter.

    A request without a Host is answered 400 (RFC 9112, 3.2), but for HTTP/1.0, which no browser sends.
    """
    names = (*LOOPBACK, *allowed)

    def check_host() -> None:
        hosts = _requested_hosts()
        if not hosts and request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0":
            raise BadRequest("The request has no Host field. Send one.")
        if ANY not in names and not all(_is_allowed(host.lower(), names) for host in hosts):
            raise MisdirectedRequest(
                "This service does not answer for the host of the request. If it should, add the name to ALLOWED_HOSTS."
            )

    app.before_request(check_host)


def _requested_hosts() -> list[str]:
    """Return the Host field and the host of a target in absolute form, which replaces it (RFC 9112, 3.2.2)."""
    hosts = [request.environ["HTTP_HOST"]] if "HTTP_HOST" in request.environ else []
    scheme, separator, rest = request.environ.get("RAW_URI", "").partition("://")
    if separator and "/" not in scheme:
        hosts.append(rest.partition("/")[0].partition("?")[0])
    return hosts


@lru_cache(maxsize=256)
def _is_allowed(host: str, names: tuple[str, ...]) -> bool:
    if host.startswith("["):  # Werkzeug cuts each name at its first colon, so it finds no IPv6 address
        return host_is_trusted(host) and host.partition("]")[0] + "]" in names
    return host_is_trusted(host, names)
