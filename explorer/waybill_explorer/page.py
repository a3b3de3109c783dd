"""The explorer: one page for every address it has, and its assets, from web/dist/explorer."""

from pathlib import Path

from flask import Blueprint, Response, jsonify, send_from_directory

from local.settings import ROOT

BUILT = ROOT / "web" / "dist" / "explorer"
NOT_BUILT = "The explorer is not built yet: `make web/dist/.built` builds it. The read API answers meanwhile:\n\n"
SECURITY = {
    # Nothing inline and nothing from elsewhere: what telemetry says can never run, nor call home.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def explorer(usage: str, shop_url: str, built: Path = BUILT) -> Blueprint:
    """Make the page's routes; `usage` is shown where it is not built, and the page links to the shop."""
    routes = Blueprint("explorer", __name__)

    def page(**_: str) -> Response:
        if not (built / "index.html").is_file():
            return Response(NOT_BUILT + usage, mimetype="text/plain")
        return send_from_directory(built, "index.html", max_age=0)

    for path in ("/", "/trace/<id>", "/services", "/services/<path:name>", "/metrics", "/logs"):
        routes.add_url_rule(path, view_func=page)

    @routes.get("/<nowhere>")
    def no_such_page(**_: str) -> Response:
        response = page()
        response.status_code = 404
        return response

    @routes.get("/page-config.json")
    def page_config() -> Response:
        return jsonify(shop_url=shop_url)

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
