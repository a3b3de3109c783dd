"""A small order API and trace backend over real HTTP, which remembers what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, jsonify, request

from explorer.tests.jaeger_json import TRACE_ID
from tests.support.servers import quiet_server

ORDER = {
    "id": "5f0c2f3e-8a52-4ad2-9d0f-0d3c1f6f7a11",
    "status": "CONFIRMED",
    "reason": None,
    "currency": "EUR",
    "total": 2480,
    "lines": [{"sku": "TEA-SENCHA", "quantity": 2, "unit_price": 1240}],
}


class SmallApi:
    """Everything that `waybill` talks to, on one port.

    `order` and `status` are what an order is answered with, after the statuses in `failures`; `traces` are what is
    found of the trace, poll by poll, the last of them forever; `logs` is None for a Jaeger, which has none; `loki` is
    what a Loki finds, None where there is none; `alerts` are those of an Alertmanager; `differences` are what
    is different, look by look, the last of them forever, nothing for a Jaeger.
    """

    def __init__(self) -> None:
        self.order: dict[str, Any] = ORDER
        self.status = 201
        self.failures: list[int] = []
        self.readiness = 200
        self.traces: list[dict[str, Any] | None] = [None]
        self.logs: list[dict[str, Any]] | None = []
        self.loki: list[dict[str, Any]] | None = None
        self.alerts: list[dict[str, Any]] = []
        self.score: dict[str, Any] | None = None
        self.differences: list[dict[str, Any]] = []
        self.summaries: tuple[dict[str, Any], int] = {"data": [], "errors": None, "next": None}, 200
        self.orders: list[tuple[str, dict[str, Any]]] = []
        self.paths: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.app = self._app()

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.orders]

    @contextmanager
    def listening(self, port: int = 0) -> Iterator[str]:
        """Answer on a port (0: any free one); gives the base URL."""
        server = quiet_server(port, self.app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _app(self) -> Flask:
        app = Flask(__name__)

        @app.before_request
        def remember() -> None:
            self.paths.append(request.path)

        @app.post("/orders")
        def post_order() -> tuple[Response, int, dict[str, str]]:
            self.orders.append((request.headers["Idempotency-Key"], request.get_json()))
            self.gate.wait(60)
            headers = {"traceresponse": f"00-{TRACE_ID}-{'a' * 16}-03"}
            if self.failures:
                return jsonify(title="Unavailable"), self.failures.pop(), headers
            return jsonify(self.order), self.status, headers

        @app.get("/items")
        def items() -> dict[str, Any]:
            return {"items": [{"sku": "CUP-RAKU", "stock": 0}, {"sku": "TEA-SENCHA", "stock": 9}]}

        @app.get("/api/traces/<trace_id>")
        def one_trace(trace_id: str) -> tuple[dict[str, Any], int]:
            found = self.traces.pop(0) if len(self.traces) > 1 else self.traces[0]
            if found is None or trace_id != found["traceID"]:
                return {"data": None, "errors": [{"code": 404, "msg": "trace not found"}]}, 404
            return {"data": [found], "errors": None}, 200

        @app.get("/api/logs")
        def all_logs() -> Any:
            return "<!doctype html><title>Jaeger UI</title>" if self.logs is None else {"data": self.logs}

        @app.get("/loki/api/v1/query_range")
        def loki() -> tuple[dict[str, Any], int]:
            self.queries.append(request.args.to_dict())
            return ({}, 404) if self.loki is None else ({"data": {"resultType": "streams", "result": self.loki}}, 200)

        @app.get("/api/v2/alerts")
        def alerts() -> Response:
            return jsonify(self.alerts)

        @app.get("/-/ready")
        @app.get("/ready")
        @app.get("/api/health")
        def backend_is_ready() -> tuple[dict[str, Any], int]:
            return {}, self.readiness

        @app.get("/api/score")
        def score() -> Any:
            return {"data": self.score, "errors": None} if self.score else "<!doctype html><title>Jaeger UI</title>"

        @app.get("/api/difference")
        def difference() -> Any:
            self.queries.append(request.args.to_dict())
            if not self.differences:
                return "<!doctype html><title>Jaeger UI</title>"
            return {
                "data": self.differences.pop(0) if len(self.differences) > 1 else self.differences[0],
                "errors": None,
            }

        @app.get("/api/summaries")
        def summaries() -> tuple[dict[str, Any], int]:
            self.queries.append(request.args.to_dict())
            return self.summaries

        @app.get("/api/traces")
        def search() -> dict[str, Any]:
            return {"data": [found for found in self.traces if found]}

        @app.get("/api/services")
        def services() -> dict[str, Any]:
            return {"data": sorted({name for found in self.traces if found for name in found["processes"]})}

        @app.get("/api/stats")
        def stats() -> dict[str, Any]:
            return {"data": {"spans": 10, "logs": 2, "points": 3, "refused": 0}}

        @app.get("/healthz")
        def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @app.get("/readyz")
        def readyz() -> tuple[dict[str, Any], int]:
            return {"title": "Service Unavailable", "detail": "database is not ready: no such table"}, self.readiness

        return app
