"""`python -m local.cache_server`: a stand-in for Valkey on CACHE_PORT, in memory, until SIGTERM."""

from contextlib import suppress

from fakeredis import TcpFakeServer

from local.settings import HOST, LocalSettings


class CacheServer(TcpFakeServer):
    """fakeredis over TCP, with room for the connections of a few workers that start at the same time."""

    request_queue_size = 128


def main() -> None:
    """Serve until a signal; nothing is written, so nothing needs a clean stop."""
    server = CacheServer((HOST, LocalSettings().cache_port), server_type="valkey")
    server.daemon_threads = True  # fakeredis turns it off; a client's open connection would keep us alive.
    with suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()
