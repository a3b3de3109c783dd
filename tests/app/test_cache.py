"""Cache-aside over a real server that is there, goes away, hangs and comes back."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from fakeredis import TcpFakeServer
from pydantic import BaseModel
from redis import Redis

from app import cache as cache_module
from app.cache import Cache
from tests.support.servers import free_port


class Stock(BaseModel):
    """What the tests cache."""

    pieces: int


def stock(pieces: int) -> Stock:
    return Stock(pieces=pieces)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The operation and result of each operation that the metrics counted, once each."""
    counted: list[str] = []
    timed: list[str] = []

    class Counter:
        def add(self, amount: int, attributes: dict[str, str]) -> None:
            assert amount == 1
            counted.append(f"{attributes['cache.operation']} {attributes['cache.result']}")

    class Histogram:
        def record(self, seconds: float, attributes: dict[str, str]) -> None:
            assert 0 <= seconds < 60
            timed.append(f"{attributes['cache.operation']} {attributes['cache.result']}")

    monkeypatch.setattr(cache_module, "operations", Counter())
    monkeypatch.setattr(cache_module, "duration", Histogram())
    yield counted
    assert timed == counted


@contextmanager
def cache_server(port: int) -> Iterator[None]:
    server = TcpFakeServer(("127.0.0.1", port), server_type="valkey")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def black_hole() -> Iterator[int]:
    """A port where connections are accepted by the kernel and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield silent.getsockname()[1]


def cache_at(port: int, ttl: int = 60) -> Cache:
    return Cache(f"redis://127.0.0.1:{port}/0", ttl=ttl, pool_size=4)


def test_a_value_is_loaded_once_and_then_comes_from_the_cache(cache_url: str, results: list[str]) -> None:
    cache = Cache(cache_url, ttl=60, pool_size=4)
    loads = iter([stock(3)])
    assert cache.get_or_load("item", Stock, lambda: next(loads)) == stock(3)
    assert cache.get_or_load("item", Stock, lambda: next(loads)) == stock(3)
    assert results == ["get miss", "set done", "get hit"]


def test_a_value_that_is_not_there_is_not_remembered_as_absent(cache_url: str) -> None:
    cache = Cache(cache_url, ttl=60, pool_size=4)
    loads = iter([None, stock(1)])
    assert cache.get_or_load("item", Stock, lambda: next(loads)) is None
    assert cache.get_or_load("item", Stock, lambda: next(loads)) == stock(1)


def test_a_deleted_value_is_loaded_again(cache_url: str, results: list[str]) -> None:
    cache = Cache(cache_url, ttl=60, pool_size=4)
    loads = iter([stock(1), stock(2)])
    cache.get_or_load("item", Stock, lambda: next(loads))
    cache.delete("item", "another")
    assert cache.get_or_load("item", Stock, lambda: next(loads)) == stock(2)
    assert results == ["get miss", "set done", "delete done", "get miss", "set done"]


def test_a_value_is_kept_no_longer_than_its_time(cache_url: str) -> None:
    Cache(cache_url, ttl=7, pool_size=4).get_or_load("item", Stock, lambda: stock(1))
    with Redis.from_url(cache_url) as server:
        assert 0 < int(server.ttl("item")) <= 7


@pytest.mark.parametrize("value", [b"\xff not JSON", b'{"stock": 3}', b"[1]"])
def test_a_value_of_another_form_is_a_miss_and_is_replaced(cache_url: str, results: list[str], value: bytes) -> None:
    with Redis.from_url(cache_url) as server:
        server.set("item", value)
        assert Cache(cache_url, ttl=60, pool_size=4).get_or_load("item", Stock, lambda: stock(1)) == stock(1)
        assert json.loads(server.get("item") or "") == {"pieces": 1}
    assert results == ["get miss", "set done"]


def test_without_a_cache_every_value_is_loaded(results: list[str]) -> None:
    cache = cache_at(free_port())
    loads = iter([stock(0), stock(1), stock(2)])
    assert [cache.get_or_load("item", Stock, lambda: next(loads)).pieces for _ in range(3)] == [0, 1, 2]
    cache.delete("item")
    assert results == ["get unavailable"] * 3 + ["delete unavailable"]


def test_a_cache_that_is_only_written_to_shows_that_it_is_unavailable(results: list[str]) -> None:
    cache_at(free_port()).delete("item")
    assert results == ["delete unavailable"]


def test_what_load_raises_is_not_taken_for_a_fault_of_the_cache(cache_url: str) -> None:
    def fail() -> Any:
        raise ZeroDivisionError

    cache = Cache(cache_url, ttl=60, pool_size=4)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("item", Stock, fail)
    assert cache.get_or_load("item", Stock, lambda: stock(1)) == stock(1)


def test_a_cache_that_never_answers_costs_one_short_wait_for_many_reads(results: list[str]) -> None:
    with black_hole() as port:
        cache = cache_at(port)
        began = time.monotonic()
        for n in range(100):
            assert cache.get_or_load("item", Stock, partial(stock, n)) == stock(n)
        assert time.monotonic() - began < 2  # a hundred waits of 0.2 s would be 20
    assert results == ["get unavailable"] * 100


def test_a_cache_that_dies_is_left_alone_for_a_while_and_then_used_again(
    results: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "PAUSE", 0.3)
    port = free_port()
    cache = cache_at(port)
    with cache_server(port):
        cache.get_or_load("item", Stock, lambda: stock(1))
    assert cache.get_or_load("item", Stock, lambda: stock(2)) == stock(2)
    with cache_server(port):
        assert cache.get_or_load("item", Stock, lambda: stock(3)) == stock(3), "it was asked before the pause was over"
        time.sleep(0.3)
        assert cache.get_or_load("item", Stock, lambda: stock(4)) == stock(4)
        assert cache.get_or_load("item", Stock, lambda: stock(5)) == stock(4)
    lost = ["get unavailable"] * 2
    assert results == ["get miss", "set done", *lost, "get miss", "set done", "get hit"]


def test_more_threads_than_connections_still_get_their_values(cache_url: str) -> None:
    cache = Cache(cache_url, ttl=60, pool_size=1)
    values: list[int] = []
    together = threading.Barrier(8)

    def read(n: int) -> None:
        together.wait(5)
        values.append(cache.get_or_load(f"item-{n}", Stock, lambda: stock(n)).pieces)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == list(range(8))


def test_a_server_that_quotes_the_command_in_its_error_does_not_bring_it_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(65536):
                    # A connection begins with HELLO and CLIENT SETINFO.
                    connection.sendall(
                        b"-ERR unknown command 'GET', with args beginning with: 's3cret'\r\n" * data.count(b"*")
                    )

        threading.Thread(target=refuse, daemon=True).start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2"
        assert Cache(url, ttl=60, pool_size=1).get_or_load("s3cret", Stock, lambda: stock(1)) == stock(1)
    assert "ResponseError" in caplog.text
    assert "s3cret" not in caplog.text
