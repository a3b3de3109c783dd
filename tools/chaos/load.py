"""The load: orders at a steady rate, each until it is answered, with a record of every answer that a client saw."""

import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

TIMEOUT = (2.0, 15.0)
"""Seconds to connect, seconds between two bytes of an answer."""
RETRY_SECONDS = 120.0
"""How long a client tries again under its key before it gives up for good."""
LONGEST_PAUSE = 2.0
CLIENTS = 96
RETRYABLE = frozenset({409, 429, 500, 502, 503, 504})
TOKENS = {"tok_approve": 85, "tok_decline": 8, "tok_fail_then_succeed": 5, "tok_slow": 2}
REGIONS = ("eu", "us", "ap")


@dataclass(frozen=True)
class SeenOrder:
    """An order as an answer showed it."""

    id: uuid.UUID
    status: str
    reason: str | None


@dataclass(frozen=True)
class Answer:
    """What one client read: the HTTP status and the order, or the start of the body if it was an error."""

    at: float
    """Monotonic seconds."""
    http_status: int
    order: SeenOrder | None = None
    body: str = ""


@dataclass
class Wish:
    """One order as its client means it, and all that it was told about it."""

    key: str
    body: dict[str, Any]
    began: float
    """Monotonic seconds of the first request."""
    answers: list[Answer] = field(default_factory=list)
    gave_up: str | None = None
    """Why the client gave up for good."""

    @property
    def token(self) -> str:
        return str(self.body["payment_token"])

    @property
    def quantities(self) -> dict[str, int]:
        return {line["sku"]: line["quantity"] for line in self.body["lines"]}

    def orders(self) -> list[SeenOrder]:
        """Return the order as each answer that was one showed it."""
        return [answer.order for answer in self.answers if answer.order is not None]


class Load:
    """Sends `rate` orders per second from `start` until `end`; what is on its way then is still tried again."""

    def __init__(self, url: str, rate: float, skus: Sequence[str], seed: int) -> None:
        self._url = url
        self._rate = rate
        self._skus = skus
        self._chance = random.Random(f"load {seed}")
        self._run_id = uuid.uuid4().hex[:12]  # not from the seed: a second run must not repeat the first one's keys
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._pursuits: list[Future[None]] = []
        self._local = threading.local()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self.wishes: list[Wish] = []
        self.reads: list[Answer] = []
        """Answers to GET requests that were no order of the load."""
        self.errors: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def end(self) -> None:
        """Send no new orders."""
        self._ending.set()
        self._thread.join()

    def wait(self) -> None:
        """Wait until every client has its answer or has given up."""
        self._pool.shutdown()

    @property
    def idle(self) -> bool:
        """Return whether every client has its answer or has given up."""
        return all(pursuit.done() for pursuit in self._pursuits)

    @property
    def answered(self) -> int:
        """Return how many orders were answered so far."""
        return sum(bool(wish.orders()) for wish in self.wishes)

    def all_answers(self) -> list[Answer]:
        """Return every answer that any client saw."""
        with self._lock:
            return [*self.reads, *(answer for wish in self.wishes for answer in wish.answers)]

    def keys_of_ids(self) -> dict[uuid.UUID, set[str]]:
        """Return the keys under which each order id was answered."""
        keys: dict[uuid.UUID, set[str]] = defaultdict(set)
        for wish in self.wishes:
            for order in wish.orders():
                keys[order.id].add(wish.key)
        return keys

    def _send_all(self) -> None:
        began = time.monotonic()
        number = 0
        while not self._ending.wait(max(0.0, began + number / self._rate - time.monotonic())):
            wish = Wish(f"chaos-{self._run_id}-{number}", self._body(), time.monotonic())
            self.wishes.append(wish)
            self._pursuits.append(self._pool.submit(self._pursue, wish))
            fate = self._chance.random()
            if fate < 0.05:  # an impatient client: the same request twice at the same moment
                self._pursuits.append(self._pool.submit(self._pursue, wish))
            elif fate < 0.15:  # a client that looks
                self._pool.submit(self._read, "/orders?limit=5" if fate < 0.10 else "/items")
            number += 1

    def _body(self) -> dict[str, Any]:
        chance = self._chance
        skus = chance.sample(self._skus, k=min(len(self._skus), chance.choice((1, 1, 2, 3))))
        return {
            "customer_id": f"cus_{chance.randrange(1000)}",
            "region": chance.choice(REGIONS),
            "payment_token": chance.choices(list(TOKENS), list(TOKENS.values()))[0],
            "lines": [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in skus],
        }

    def _pursue(self, wish: Wish) -> None:
        """Send the order until it is answered, then read it and, at times, send it again."""
        headers = {"Idempotency-Key": wish.key}
        order = self._until_answered(wish, "POST", "/orders", json=wish.body, headers=headers)
        if order is None:
            return
        chance = random.Random(wish.key)
        if chance.random() < 0.2:
            self._until_answered(wish, "GET", f"/orders/{order.id}")
        if chance.random() < 0.05:  # a client that has lost its memory
            self._until_answered(wish, "POST", "/orders", json=wish.body, headers=headers)

    def _until_answered(self, wish: Wish, method: str, path: str, **request: Any) -> SeenOrder | None:
        gives_up, pause = time.monotonic() + RETRY_SECONDS, 0.1
        while True:
            failure = ""
            try:
                answer = self._ask(method, path, **request)
                with self._lock:
                    wish.answers.append(answer)
                if answer.order is not None:
                    return answer.order
                failure = f"HTTP {answer.http_status}: {answer.body}"
                final = answer.http_status not in RETRYABLE
            except requests.RequestException as error:
                failure, final = type(error).__name__, False
            with self._lock:
                self.errors[failure.partition(":")[0]] += 1
            if final or time.monotonic() + pause > gives_up:
                wish.gave_up = f"{method} {path}: {failure}"
                return None
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _read(self, path: str) -> None:
        try:
            answer = self._ask("GET", path)
        except requests.RequestException as error:
            with self._lock:
                self.errors[type(error).__name__] += 1
            return
        with self._lock:
            self.reads.append(answer)

    def _ask(self, method: str, path: str, **request: Any) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        response: requests.Response = self._local.session.request(method, self._url + path, timeout=TIMEOUT, **request)
        try:
            order = response.json()
        except requests.JSONDecodeError:
            order = None
        status, now = response.status_code, time.monotonic()
        if not response.ok or not isinstance(order, dict) or "id" not in order:
            return Answer(now, status, body="" if response.ok else response.text[:300])
        return Answer(now, status, SeenOrder(uuid.UUID(order["id"]), order["status"], order["reason"]))
