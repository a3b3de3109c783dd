"""A vendor of telemetry, run in a container: prints the path and the api-key of each export, and accepts it."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Vendor(BaseHTTPRequestHandler):
    """Accepts every POST with an empty OTLP response."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        print(self.path, self.headers["api-key"], flush=True)  # noqa: T201
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 4318), Vendor).serve_forever()
