"""A built page beside a service's API: `/`, its assets and its settings, under a strict Content-Security-Policy.

The browser measures the loading of these files itself, so the blueprint is quiet.
"""

from pathlib import Path
from typing import Any

from flask import Response, jsonify, send_from_directory

from .blueprints import QuietBlueprint

NOT_BUILT = "The pages are not built: `make demo` and `make up` build them.\n"

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def serve_page(folder: Path, config: dict[str, Any], connect: tuple[str, ...] = ()) -> QuietBlueprint:
    """Return a blueprint for the page in `folder`: index.html, and assets/ whose names hold a hash of what is in them.

    The page reads `config` from `/page-config.json`; beside its own origin it may connect to those in `connect`.
    """
    folder = folder.absolute()
    policy = content_security_policy(connect)
    page = QuietBlueprint("page", __name__)

    @page.get("/")
    def index() -> Response:
        if not (folder / "index.html").is_file():
            return Response(NOT_BUILT, mimetype="text/plain")
        return send_from_directory(folder, "index.html", max_age=0)

    @page.get("/assets/<path:name>")
    def asset(name: str) -> Response:
        response = send_from_directory(folder / "assets", name, max_age=31_536_000)
        response.cache_control.immutable = True
        return response

    @page.get("/page-config.json")
    def page_config() -> Response:
        response = jsonify(config)
        response.cache_control.no_cache = True
        return response

    @page.after_request
    def secure(response: Response) -> Response:
        response.headers.update({"Content-Security-Policy": policy, **SECURITY_HEADERS})
        return response

    return page


def content_security_policy(connect: tuple[str, ...]) -> str:
    """Only files of this origin, nothing inline, in no frame (https://www.w3.org/TR/CSP3/)."""
    sources = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": " ".join(("'self'", *connect)),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{directive} {source}" for directive, source in sources.items())
