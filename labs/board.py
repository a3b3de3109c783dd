"""The board of a class: learners join it and send their progress, the teacher shows it. No telemetry, no answers."""

import ipaddress
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, render_template, request
from gunicorn.app.base import BaseApplication
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labs import codes, definitions, faults
from local import data_folder
from local.settings import LocalSettings, Port
from waybill_explorer.client import ClientError

THREADS = 8
MAX_BODY = 2**16
MAX_LEARNERS = 500
MAX_ATTEMPTS = 200
"""Of one learner."""
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class BoardSettings(LocalSettings):
    """The port of the board, beside those of the stack."""

    labs_port: Port = 8095


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Join(_Body):
    """What a learner sends to join; `token` is that of an earlier time, "" for none."""

    name: str = Field(max_length=60)
    code: str = Field(max_length=60)
    token: str = Field("", max_length=100)


class Progress(_Body):
    """What a learner sends of an attempt. Times are seconds since the epoch."""

    name: str = Field(max_length=60)
    attempt: str = Field(pattern=r"^[0-9a-f]{1,32}$")
    lab: str = Field(max_length=60)
    started: float
    ended: float | None
    parts: dict[Literal["detect", "locate", "explain", "prove", "fix"], list[float]]
    score: int = Field(ge=0, le=100)
    hints: int = Field(ge=0, le=100)
    tries: int = Field(ge=0, le=100_000)
    solved: bool


class Learner(BaseModel):
    """What the board knows of a learner."""

    joined: float
    attempts: dict[str, Progress] = {}


class Board:
    """The learners and their progress, in a file of the teacher's data folder."""

    def __init__(self, settings: LocalSettings) -> None:
        self.key = codes.class_key(settings)
        self._file = board_file(settings)
        self._lock = threading.Lock()
        self.learners = read_learners(settings)

    def join(self, wanted: Join) -> dict[str, Any]:
        """Return a learner's name, token and seeds. Raise a ClientError for a wrong code or a name that is taken."""
        if wanted.code.strip().upper() != codes.join_code(self.key):
            raise ClientError("the join code is wrong: the teacher's `waybill lab board` prints it.")
        name = codes.valid_name(wanted.name)
        token = codes.token_for(self.key, name)
        with self._lock:
            if name in self.learners and wanted.token != token:
                raise ClientError(f"there is already a learner {name!r}: choose another name, such as {name}-2.")
            if len(self.learners) >= MAX_LEARNERS:
                raise ClientError(f"the board has room for {MAX_LEARNERS} learners.")
            self.learners.setdefault(name, Learner(joined=time.time()))
            self._save()
        seeds = {lab: codes.seed_for(self.key, name, lab) for lab in definitions.labs()}
        return {"name": name, "token": token, "seeds": seeds}

    def take(self, progress: Progress, token: str) -> None:
        """Keep the progress of an attempt. Raise a ClientError if it is not of that learner."""
        if token != codes.token_for(self.key, progress.name):
            raise ClientError("this is not the token of that learner: join again.")
        with self._lock:
            learner = self.learners.setdefault(progress.name, Learner(joined=time.time()))
            if progress.attempt not in learner.attempts and len(learner.attempts) >= MAX_ATTEMPTS:
                raise ClientError(f"the board keeps {MAX_ATTEMPTS} attempts of a learner.")
            learner.attempts[progress.attempt] = progress
            self._save()

    def table(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Return the labs that were attempted, and of each learner the best attempt at each."""
        with self._lock:
            learners = {name: list(learner.attempts.values()) for name, learner in sorted(self.learners.items())}
        labs = sorted({attempt.lab for attempts in learners.values() for attempt in attempts})
        rows = []
        for name, attempts in learners.items():
            best: dict[str, Progress] = {}
            for attempt in sorted(attempts, key=lambda one: (one.ended is None, one.score)):
                best[attempt.lab] = attempt  # the one that is on, else the best
            rows.append({"name": name, "labs": {lab: _cell(attempt) for lab, attempt in best.items()}})
        return labs, rows

    def _save(self) -> None:
        data = {name: learner.model_dump() for name, learner in self.learners.items()}
        data_folder.write(self._file, json.dumps(data))


def _cell(attempt: Progress) -> dict[str, Any]:
    minutes = ((attempt.ended or time.time()) - attempt.started) / 60
    return {**attempt.model_dump(exclude={"name", "attempt", "lab"}), "minutes": max(0, round(minutes))}


def board_file(settings: LocalSettings) -> Path:
    """Return the file of the board."""
    return faults.folder(settings) / "board.json"


def read_learners(settings: LocalSettings) -> dict[str, Learner]:
    """Return the learners of the class by name. Raise a ClientError if the file cannot be used."""
    file = board_file(settings)
    try:
        return {name: Learner.model_validate(one) for name, one in json.loads(file.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ClientError(f"{file} cannot be used: {error}. Remove it to begin with no learners.") from error


def create_app(board: Board) -> Flask:
    """Make the application: the page, and what learners send."""
    app = Flask(__name__, static_folder="board_files", static_url_path="/files", template_folder="board_files")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.before_request
    def refuse_other_hosts() -> tuple[Response, int] | None:
        host = request.headers.get("Host", "")
        return None if is_own_host(host) else _problem(f"host {host[:100]!r} is not this board: use its address", 421)

    @app.errorhandler(ClientError)
    def refused(error: ClientError) -> tuple[Response, int]:
        return _problem(str(error), 403)

    @app.errorhandler(ValidationError)
    def invalid(error: ValidationError) -> tuple[Response, int]:
        first = error.errors()[0]
        return _problem(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 400)

    @app.get("/")
    def page() -> str:
        labs, rows = board.table()
        return render_template("board.html", labs=labs, rows=rows)

    @app.get("/api/class")
    def table() -> Response:
        labs, rows = board.table()
        return jsonify({"labs": labs, "learners": rows})

    @app.post("/api/class/join")
    def join() -> Response:
        return jsonify(board.join(Join.model_validate_json(request.get_data())))

    @app.post("/api/class/progress")
    def progress() -> tuple[str, int]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        board.take(Progress.model_validate_json(request.get_data()), token)
        return "", 204

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.update(SECURITY)
        return response

    return app


def _problem(text: str, status: int) -> tuple[Response, int]:
    return jsonify({"problem": text}), status


def is_own_host(host: str) -> bool:
    """Return whether a Host header is an address or this machine's name: no page of another site has either."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    own = socket.gethostname().lower()
    return name in ("localhost", own, f"{own}.local", own.partition(".")[0]) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def own_address() -> str:
    """Return the address of this machine in its network, or its name; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of documentation: the kernel only chooses the interface
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


class _Server(BaseApplication):
    def __init__(self, board: Board, listener: socket.socket) -> None:
        self.board = board
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": [f"fd://{self.listener.fileno()}"],
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "control_socket_disable": True,  # its default path is one for all gunicorns of a user
            "graceful_timeout": 2,
            "loglevel": "warning",
            "proc_name": "waybill-board",
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self.board)


def serve(settings: LocalSettings, host: str, port: int, when_listening: Callable[[], None]) -> None:
    """Serve the board until Ctrl-C. Raise a ClientError if the address cannot be used."""
    board = Board(settings)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ClientError(
            f"{host}:{port} cannot be used ({error.strerror or error}): choose another with --port or LABS_PORT."
        ) from error
    listener.listen(128)
    when_listening()
    sys.stdout.flush()
    _Server(board, listener).run()
