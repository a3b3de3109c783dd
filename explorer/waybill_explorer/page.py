"""The page: one document for every address it has, its assets and its configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, send_from_directory

from waybill_explorer import instructions
from waybill_explorer.settings import Settings

BUILT = Path(__file__).parent / "static"
"""What `make web/dist/.built` makes of web/src/explorer; the wheel contains it."""
NOT_BUILT = "This page is not built: run `make web/dist/.built` in the repository. The read API works without it:\n\n"
SECURITY = {
    # Nothing inline and nothing from elsewhere: what telemetry says can never run, nor call home.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_config(settings: Settings, extensions: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the page reads at its start: links, colors of services, extensions, how to send telemetry here."""
    return {
        "extensions": list(extensions),
        "links": [link.model_dump(mode="json") for link in settings.waybill_links],
        "colors": settings.waybill_colors,
        "export": instructions.export_command(settings.otlp_url),
        "languages": list(instructions.LANGUAGES.items()),  # an object's keys would be sorted
    }


def explorer(usage: str, config: dict[str, Any], views: Sequence[str] = (), built: Path = BUILT) -> Blueprint:
    """Make the page's routes; `usage` is shown where it is not built, `config` is what `page_config` returns.

    `views` are the names of the extensions, of which each has an address.
    """
    routes = Blueprint("explorer", __name__)

    def page(**_: str) -> Response:
        if not (built / "index.html").is_file():
            return Response(NOT_BUILT + usage, mimetype="text/plain")
        return send_from_directory(built, "index.html", max_age=0)

    for path in (
        "/",
        "/trace/<id>",
        "/services",
        "/services/<path:name>",
        "/metrics",
        "/logs",
        "/compare",
        *(f"/{view}" for view in views),
    ):
        routes.add_url_rule(path, view_func=page)

    @routes.get("/<nowhere>")
    def no_such_page(**_: str) -> Response:
        response = page()
        response.status_code = 404
        return response

    @routes.get("/page-config.json")
    def configuration() -> Response:
        return jsonify(config)

    @routes.get("/assets/<path:name>")
    def assets(name: str) -> Response:
        response = send_from_directory(built / "assets", name)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    @routes.after_request
    def secure(response: Response) -> Response:
        response.headers.update(SECURITY)
        return response

    return routes
