"""What slow clients cost the others, and what the worker costs: `python -m bench.slow_clients`.

Starts order-service twice, under the kit's worker and under gunicorn's own gthread, without telemetry and over SQLite
in a temporary folder. Clients in other processes read `GET /orders` on kept connections. Rounds alternate between the
cases, so that whatever else the machine does meets all of them; only the ratios mean something.
"""

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain, repeat

IDLE, SLOW = 900, 64
HALF_A_HEADER = b"GET /orders HTTP/1.1\r\nHost: localhost\r\n"
NO_BODY = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
PACE = 0.005
"""Seconds between two requests when latency is measured: queues that the clients make themselves are no result."""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def order_service(folder: str, worker_class: str) -> Iterator[int]:
    """Run order-service under `worker_class`; yield its port."""
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")} | {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder}/order.db",
        "ORDER_DATABASE_URL": f"sqlite:///{folder}/order.db",
        "OTEL_SDK_DISABLED": "true",
        "LOG_LEVEL": "WARNING",
        **{f"{peer}_URL": "http://127.0.0.1:9" for peer in ("INVENTORY", "PAYMENT", "NOTIFICATION")},
    }
    migrate = [sys.executable, "-m", "alembic", "-c", "migrations/alembic.ini", "-n", "order", "upgrade", "head"]
    subprocess.run(migrate, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn_conf", "-k", worker_class]
    process = subprocess.Popen([*command, "services.order:create_app()"], env=environment)
    try:
        while not ready(port):
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def ready(port: int) -> bool:
    """Return whether the service answers."""
    with suppress(OSError):
        return get(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) == 200
    return False


def get(connection: http.client.HTTPConnection) -> int:
    """Read the newest orders; return the status."""
    connection.request("GET", "/orders")
    response = connection.getresponse()
    response.read()
    return response.status


def latencies(port: int, seconds: float, pace: float) -> list[float]:
    """Send one request after the other, `pace` seconds apart; return how many seconds each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        if get(connection) != 200:
            raise SystemExit("a request was not answered with 200")
        taken.append(time.monotonic() - start)
        time.sleep(pace)
    return taken


def measure(pool: ProcessPoolExecutor, port: int, clients: int, seconds: float, pace: float = 0.0) -> list[float]:
    """Return the latencies that `clients` see side by side."""
    return list(chain.from_iterable(pool.map(latencies, repeat(port, clients), repeat(seconds), repeat(pace))))


@contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """Keep IDLE silent connections and SLOW ones that send a byte a second, opening each that is closed again."""
    running = True
    idle = [b""] * IDLE
    slow = [HALF_A_HEADER, NO_BODY] * (SLOW // 2)

    def keep() -> None:
        open_ones = [(opened(start), start) for start in idle + slow]
        while running:
            time.sleep(1)
            open_ones = [(still_open(sock, start), start) for sock, start in open_ones]
        for sock, _ in open_ones:
            sock.close()

    def opened(start: bytes) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(start)
        return sock

    def still_open(sock: socket.socket, start: bytes) -> socket.socket:
        sock.setblocking(False)
        try:
            if start:
                sock.send(b"x")
            if sock.recv(1000):
                return sock
        except BlockingIOError:
            return sock
        except OSError:
            pass
        sock.close()
        return opened(start)

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(keep)
        time.sleep(2)
        yield
        running = False
        done.result()


def p99(taken: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(taken, n=100)[98]


def main() -> None:
    """Print the two ratios, with the median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--clients", type=int, default=4)
    arguments = parser.parse_args()
    seconds, clients = arguments.seconds, arguments.clients
    with (
        tempfile.TemporaryDirectory() as folder,
        order_service(folder, "app.worker.Worker") as port,
        order_service(folder, "gthread") as gthread_port,
        ProcessPoolExecutor(clients) as pool,
    ):
        throughput, slowdown = [], []
        for _ in range(arguments.rounds):
            ours = len(measure(pool, port, clients, seconds))
            throughput.append(ours / len(measure(pool, gthread_port, clients, seconds)))
            quiet = p99(measure(pool, port, clients, seconds, PACE))
            with slow_clients(port):
                slowdown.append(p99(measure(pool, port, clients, seconds, PACE)) / quiet)
            print(f"requests/s {ours / seconds:6.0f}  of gthread {throughput[-1]:.2f}  P99 quiet {quiet * 1000:.1f} ms")
    print(f"throughput, of gthread's: {statistics.median(throughput):.2f}")
    print(f"P99 with {IDLE} idle and {SLOW} slow connections, of the quiet one: {statistics.median(slowdown):.2f}")


if __name__ == "__main__":
    main()
