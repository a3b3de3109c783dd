"""`/api/labs`: what the view of the labs in the explorer reads and does. The explorer loads it as an extension.

What takes long (a start, a repair, a check, a stop) runs in a thread, one at a time: its request returns immediately,
and `GET /api/labs/now` says what is under way and how it ended.
"""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request

from waybill_explorer.client import ClientError
from waybill_explorer.hosts import is_allowed, is_same_origin

if TYPE_CHECKING:
    from labs.attempts import Attempt
    from local.settings import LocalSettings

BUSY = "something else is under way: wait until it is done."
LONGEST_VALUE = 2_000

Work = Callable[[], str]


class Job:
    """The one thing that is under way, and how the last one ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = {"doing": "", "said": "", "problem": ""}

    def state(self) -> dict[str, str]:
        """Return `doing`, what is under way; else `said`, what the last one has to say, or its `problem`."""
        with self._lock:
            return dict(self._state)

    def begin(self, doing: str, work: Work) -> None:
        """Do it in a thread; `work` returns what there is to say. Raise a ClientError if another one is under way."""
        with self._lock:
            if self._state["doing"]:
                raise ClientError(BUSY)
            self._state = {"doing": doing, "said": "", "problem": ""}
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Work) -> None:
        said = problem = ""
        try:
            said = work()
        except ClientError as error:
            problem = str(error)
        except Exception as error:  # whatever it is, the page must not wait for it any longer
            problem = f"it failed: {error!r}"
        with self._lock:
            self._state = {"doing": "", "said": said, "problem": problem}


def extension() -> Blueprint:
    """Make the routes. Nothing of the labs is imported before the first request: most stacks never have one."""
    routes = Blueprint("labs", __name__)
    job = Job()

    @routes.before_request
    def refuse_others() -> tuple[Response, int] | None:
        if request.method == "GET":
            return None
        if not is_allowed(request.headers.get("Host", ""), ()) or not is_same_origin(request.headers, request.host_url):
            return _error("labs are changed by the explorer's own page, on this machine", 403)
        return None if request.is_json else _error("send JSON, with Content-Type: application/json", 415)

    @routes.errorhandler(ClientError)
    def refused(error: ClientError) -> tuple[Response, int]:
        return _error(str(error), 409)

    @routes.get("/api/labs")
    def catalog() -> Response:
        from labs import view

        return _data(view.catalog(_settings()))

    @routes.get("/api/labs/now")
    def now() -> Response:
        return _data({**_now(_settings()), **job.state()})

    @routes.get("/api/labs/<name>/debrief")
    def debrief(name: str) -> Response:
        from labs import attempts, definitions

        lab = definitions.find(name)
        if not any(attempt.finished for attempt in attempts.all_attempts(_settings()) if attempt.lab == name):
            raise ClientError(f"finish {name} first: its debrief says what it was.")
        return _data(lab.text("debrief.md"))

    @routes.post("/api/labs/start")
    def start() -> Response:
        from labs import classroom, definitions, engine, wheel

        settings, name, seed = _settings(), _text("name"), _number("seed")
        if name:
            definitions.find(name)
        seed = classroom.seed_of(settings, name) if seed is None and name else seed

        def work() -> str:
            engine.start(settings, name, seed) if name else wheel.spin(settings)
            return ""

        job.begin("Starting. Processes are replaced, which can take a minute.", work)
        return _data(None)

    @routes.post("/api/labs/stop")
    def stop() -> Response:
        from labs import engine, view

        settings = _settings()
        job.begin("Waiting until the stack is as it was.", lambda: view.ended(engine.stop(settings)))
        return _data(None)

    @routes.post("/api/labs/answer")
    def answer() -> Response:
        from labs import engine

        settings, attempt = _current()
        given = engine.answer(settings, attempt, _text("key"), _text("value"))
        return _data(given.model_dump())

    @routes.post("/api/labs/hint")
    def hint() -> Response:
        from labs import view

        return _data(view.next_hint(*_current()))

    @routes.post("/api/labs/solve")
    def solve() -> Response:
        from labs import view

        return _data(view.solve(*_current()))

    @routes.post("/api/labs/check")
    def check() -> Response:
        from labs import engine

        settings, attempt = _current()

        def work() -> str:
            reason = engine.check_fix(settings, attempt)
            return f"Not fixed: {reason}" if reason else "Fixed: new orders no longer show it."

        job.begin("Placing new orders and reading their traces.", work)
        return _data(None)

    @routes.post("/api/labs/fix")
    def fix() -> Response:
        from labs import engine, faults

        settings, _ = _current()
        verb, target = _text("verb"), _text("target").replace("-service", "").strip()
        if verb not in ("rollback", "redeploy", "repair"):
            raise ClientError(f"{verb!r} is no way to fix it: send rollback, redeploy or repair.")
        if verb != "repair":
            target = faults.service_of(target)

        def work() -> str:
            if verb == "redeploy":
                engine.redeploy(settings, target)
            else:
                engine.act(settings, f"{verb} {target}")
            return "Done. Check it: new orders show whether it helps."

        job.begin("Changing the stack. Processes are replaced, which can take a minute.", work)
        return _data(None)

    return routes


def _now(settings: "LocalSettings") -> dict[str, Any]:
    """Return the attempt that is on; or what else is on, or the last attempt."""
    from labs import attempts, plan, view

    on = plan.current(settings)
    if on and on.attempt:
        try:
            return {"attempt": view.page(attempts.current(settings), on.ends_at), "other": "", "last": None}
        except ClientError as error:
            return {"attempt": None, "other": str(error), "last": None}
    done = attempts.all_attempts(settings)
    last = {**view.summary(done[-1]), "finished": done[-1].finished} if done else None
    return {"attempt": None, "other": f"{on.says}: {on.off} first." if on else "", "last": last}


def _settings() -> "LocalSettings":
    from local.settings import LocalSettings, read_settings

    return read_settings(LocalSettings)


def _current() -> "tuple[LocalSettings, Attempt]":
    from labs import attempts

    settings = _settings()
    return settings, attempts.current(settings)


def _text(name: str) -> str:
    """Return a text of the request's body, "" without it. Raise a ClientError."""
    body = request.get_json(silent=True)
    value = body.get(name, "") if isinstance(body, dict) else None
    if not isinstance(value, str) or len(value) > LONGEST_VALUE:
        raise ClientError(f"send a JSON object in which `{name}` is a text of at most {LONGEST_VALUE:,} characters.")
    return value


def _number(name: str) -> int | None:
    body = request.get_json(silent=True)
    value = body.get(name) if isinstance(body, dict) else None
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ClientError(f"send a JSON object in which `{name}` is a whole number.")
    return value


def _data(data: Any) -> Response:
    # Not jsonify, which sorts keys: parts and questions have an order.
    return Response(json.dumps({"data": data, "errors": None}), mimetype="application/json")


def _error(message: str, status: int) -> tuple[Response, int]:
    return jsonify({"data": None, "errors": [{"code": status, "msg": message}]}), status
