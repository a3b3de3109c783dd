"""HTTP requests for a service, from its OpenAPI document to bytes that are hardly HTTP any more."""

import json
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from tests.support.operations import ORDER_ID, operations, with_a_body
from tools.fuzz import oddities

ANY_BODY = with_a_body()[0].body
EVERYWHERE = [("GET", path, None) for path in ("/healthz", "/readyz", "/openapi.json", "/")]


@dataclass(frozen=True)
class Message:
    """A request in its parts. `framed` tells whether its end is where its headers say, so that an answer must come."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    mutation: str = "valid"
    framed: bool = True
    raw: bytes = b""
    """If set, these bytes are sent instead of the parts."""

    @property
    def wire(self) -> bytes:
        """Return the bytes to send."""
        if self.raw:
            return self.raw
        lines = [b" ".join((self.method, self.target, self.version)), *(b": ".join(pair) for pair in self.headers)]
        return b"\r\n".join([*lines, b"", b""]) + self.body

    def without(self, *names: bytes) -> "Message":
        """Return it without the headers of these names (lower case)."""
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in names))

    def adding(self, *pairs: tuple[bytes, bytes]) -> "Message":
        """Return it with further headers."""
        return replace(self, headers=(*self.headers, *pairs))

    def sized(self) -> "Message":
        """Return it with the Content-Length of its body."""
        fresh = self.without(b"content-length")
        return fresh.adding((b"Content-Length", str(len(self.body)).encode())) if self.body else fresh


@dataclass
class Source:
    """Requests for one service; the same seed and number bring the same request."""

    service: str
    seed: int
    cases: list[Message] = field(default_factory=list)
    """Requests from the OpenAPI document, valid and not, each sent as it is before any is mutated."""

    def message(self, number: int) -> Message:
        """Return the request of a number."""
        if number < len(self.cases):
            return self.cases[number]
        chance = random.Random(f"{self.seed}/{self.service}/{number}")
        base = self._base(chance)
        if chance.random() < 0.05:
            return base
        mutate = chance.choice(MUTATIONS)
        return replace(mutate(base, chance), mutation=mutate.__name__.strip("_").replace("_", " "))

    def _base(self, chance: random.Random) -> Message:
        if self.cases and chance.random() < 0.5:
            return chance.choice(self.cases)
        about = [operation.about(uuid.UUID(int=chance.getrandbits(128))) for operation in operations(self.service)]
        own = [
            (operation.method, operation.path, operation.body if operation.takes_body else None)
            for operation in (*operations(self.service), *about)
        ]
        method, target, body = chance.choice((*own, *EVERYWHERE))
        message = Message(method.encode(), target.encode(), ((b"Host", b"127.0.0.1"),))
        if body is not None:
            message = replace(message, body=json.dumps(body).encode()).adding(
                (b"Content-Type", b"application/json"), (b"Idempotency-Key", b"fuzz-%d" % chance.getrandbits(64))
            )
        return message.sized()


def from_document(url: str, number: int, first_seed: int) -> list[Message]:
    """Return about `number` requests that schemathesis makes of the service's OpenAPI document."""
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    each = max(1, number // (2 * len(operations)))
    messages: list[Message] = []
    for mode in GenerationMode:
        for operation in operations:

            @seed(first_seed)
            @settings(
                max_examples=each, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate],
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def collect(case: "Case[Any]") -> None:
                messages.append(_from_case(case, url))

            with suppress(Unsatisfiable):  # an operation that takes nothing cannot be called wrongly
                collect()
    return messages


def _from_case(case: "Case[Any]", url: str) -> Message:
    arguments = case.as_transport_kwargs(base_url=url)
    arguments.pop("timeout", None)
    prepared = requests.Session().prepare_request(requests.Request(**arguments))
    body = prepared.body or b""
    message = Message(
        method=str(prepared.method).encode(),
        target=(prepared.path_url or "/").encode(),
        headers=(
            (b"Host", b"127.0.0.1"),
            *(
                (_to_bytes(name), _to_bytes(value))
                for name, value in prepared.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding", "x-schemathesis-testcaseid")
            ),
        ),
        body=body if isinstance(body, bytes) else str(body).encode(errors="surrogatepass"),
        mutation="from the document",
    )
    return message.sized()


def _to_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1", "replace")


# What can be wrong with a body.


def _document(message: Message) -> Any:
    try:
        return json.loads(message.body)
    except ValueError:
        return ANY_BODY


def _odd_json(message: Message, chance: random.Random) -> Message:
    return replace(message, body=oddities.encode(oddities.change(_document(message), chance))).sized()


def _nearly_json(message: Message, chance: random.Random) -> Message:
    return replace(message, body=oddities.spoil(_document(message), chance)).sized()


def _odd_content_type(message: Message, chance: random.Random) -> Message:
    kinds = (b"", b"text/plain", b"application/json; charset=utf-16", b"application/json; charset=nonsense",
        b"application/xml",
             b"multipart/form-data", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded",
                 b"a" * 500, b"\xff/\xfe",
             b"application/vnd.api+json", b"APPLICATION/JSON", b"application/json, application/json")  # fmt: skip
    return message.without(b"content-type").adding((b"Content-Type", chance.choice(kinds)))


def _content_encoding(message: Message, chance: random.Random) -> Message:
    return message.adding(
        (b"Content-Encoding", chance.choice((b"gzip", b"br", b"deflate", b"identity", b"nonsense", b"gzip, gzip")))
    )


def _long_body(message: Message, chance: random.Random) -> Message:
    length = chance.choice((60_000, 65_536, 65_537, 200_000))
    return replace(message, body=b'{"a": "' + b"x" * length + b'"}').sized()


# What can be wrong with a request line.


def _odd_method(message: Message, chance: random.Random) -> Message:
    methods = (b"get", b"HEAD", b"OPTIONS", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"CONNECT", b"PROPFIND",
        b"A" * 300, b"GET\x00", b"G T", b"",
               b"\xff", b"POST" * 30, b"PRI", b"M-SEARCH", b"G@T")  # fmt: skip
    return replace(message, method=chance.choice(methods))


def _odd_target(message: Message, chance: random.Random) -> Message:
    path = message.target
    targets = (b"*", b"", b"/", b"//", b"//evil" + path, b"http://example.com" + path, b"http://[::1" + path,
        b"https://" + path, path + b"/", path + b"%", path + b"%zz",
               path + b"%00", path + b"%ff%fe", b"/../../etc/passwd", b"/%2e%2e/%2e%2e/", b"/" + b"a" * 4100,
                   b"/" + b"a" * 70_000, path + b"?" + b"a=1&" * 2000,
               path + b"#fragment", path + "\u2028".encode(), b"/\xff\xfe", b"/a b",
                   path + b"?limit=1e9&limit=2&cursor=%00", path + b";x", b"/orders/" + b"0" * 36,
               b"/orders/" + ORDER_ID.upper().encode(), b"/items/%F0%9F%8D%B5", b"/orders?limit=" + b"9" * 5000,
               b"/static/../app.py", b"127.0.0.1:80", b"/?" + b"=" * 100)  # fmt: skip
    return replace(message, target=chance.choice(targets))


def _odd_query(message: Message, chance: random.Random) -> Message:
    value = chance.choice(oddities.VALUES)
    text = value if isinstance(value, str) else json.dumps(value)
    name = chance.choice(("limit", "cursor", "a", "", "limit[]"))
    return replace(message, target=message.target.split(b"?")[0] + f"?{name}={quote(text, errors='replace')}".encode())


def _odd_version(message: Message, chance: random.Random) -> Message:
    versions = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/3", b"http/1.1", b"HTTP/1.1.1", b"HTTP/11",
        b"", b"HTTP/-1.1", b"FTP/1.1", b"HTTP/1.1 ", b"HTTP/9999999999.1")  # fmt: skip
    return replace(message, version=chance.choice(versions))


# What can be wrong with headers.

ODD_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Host", b"other.example"), (b"Host", b""), (b"Host", b"a" * 5000), (b"Host", b"[::1"),
    (b"Host", b"127.0.0.1:99999"), (b"Host", b"\xff"),
    (b"Idempotency-Key", b"second"), (b"Idempotency-Key", b""), (b"Idempotency-Key", b"a" * 129),
    (b"Idempotency-Key", b"\xc3\xa9"), (b"Idempotency-Key", b"a b"),
    (b"Script-Name", b"/x"), (b"SCRIPT_NAME", b"/x"), (b"Script_Name", b"/orders"), (b"Path-Info", b"/x"),
    (b"PATH_INFO", b"/x"), (b"Remote-User", b"root"),
    (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-For", b"1.2.3.4, " * 50), (b"X-Forwarded-Host", b"evil"),
    (b"X-Forwarded-Prefix", b"/x"), (b"Forwarded", b"for=_x;proto=https"),
    (b"X-Forwarded-Protocol", b"ssl"), (b"X-Forwarded-Ssl", b"on"), (b"Wsgi.Input", b"x"), (b"wsgi-url-scheme", b"x"),
    (b"traceparent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00"), (b"traceparent", b"ff-xyz"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), (b"traceparent", b"\xff" * 55),
    (b"tracestate", b"a=b," * 300), (b"tracestate", b"=,=,"), (b"baggage", b"k=v," * 1500),
    (b"baggage", b"%00=%ff;;;,"), (b"baggage", b"\xe2\x82"), (b"b3", b"1"),
    (b"Content-Length", b"0"), (b"Content-Length", b"-1"), (b"Content-Length", b"1e3"), (b"Content-Length", b"+5"),
    (b"Content-Length", b"5, 5"), (b"Content-Length", b"9" * 400), (b"Content-Length", b"\xb2"),
    (b"Transfer-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"identity"),
    (b"Transfer-Encoding", b"chunked, chunked"), (b"Transfer-Encoding", b"\x0bchunked"),
    (b"Transfer-Encoding", b"xchunked"), (b"TE", b"trailers, deflate;q=0.5"), (b"Trailer", b"X"),
    (b"Expect", b"100-continue"), (b"Expect", b"nonsense"), (b"Upgrade", b"h2c"), (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade, HTTP2-Settings"), (b"Connection", b"close"), (b"Connection", b"\xff"),
    (b"Accept", b"*/*;q=abc"), (b"Accept", b"text/html" * 200), (b"Accept-Encoding", b"gzip;q=1e9"),
    (b"Accept-Charset", b"utf-7"), (b"Range", b"bytes=0-0,-1"), (b"If-None-Match", b'"' + b"a" * 1000),
    (b"If-Modified-Since", b"Wed, 99 Nov 99999 00:00:00 GMT"),
    (b"If-Range", b"W/"), (b"Cookie", b"a=" + b"x" * 4000), (b"Cookie", b"\x01;=;"), (b"Authorization", b"Basic !!!"),
    (b"Authorization", b"Bearer " + b"a" * 3000), (b"Origin", b"null"), (b"Origin", b"http://evil.example"),
    (b"X-Odd", b"a\x00b"), (b"X-Odd", b"a\rb"), (b"X-Odd", b"a\nb"), (b"X-Odd", b"a" * 8200),
    (b"X-Odd", b"a" * 70_000), (b"X Odd", b"1"), (b"", b"1"), (b"X-Odd ", b"1"), (b"\xff\xfe", b"1"),
    (b"X_Odd", b"1"), (b"X" * 9000, b"1"), (b" X-Odd", b"folded"), (b"Content-Type", b"text/html"),
)  # fmt: skip
BREAKS_FRAMING = (b"content-length", b"transfer-encoding", b"x-odd", b"")


def _odd_header(message: Message, chance: random.Random) -> Message:
    pairs = [chance.choice(ODD_HEADERS) for _ in range(chance.choice((1, 1, 1, 2)))]
    framed = not any(name.lower().strip() in BREAKS_FRAMING for name, _ in pairs)
    return replace(message.adding(*pairs), framed=framed)


def _replaced_header(message: Message, chance: random.Random) -> Message:
    changed = _odd_header(message, chance)
    added = changed.headers[len(message.headers) :]
    names = {name.lower() for name, _ in added}
    kept = message.without(*names)
    return replace(kept.adding(*added), framed=changed.framed)


def _header_twice(message: Message, chance: random.Random) -> Message:
    pair = chance.choice(message.headers)
    return message.adding(*[pair] * chance.choice((1, 1, 3)))


def _header_missing(message: Message, chance: random.Random) -> Message:
    name = chance.choice(message.headers)[0].lower()
    return replace(message.without(name), framed=name != b"content-length")


def _many_headers(message: Message, chance: random.Random) -> Message:
    return message.adding(
        *[(b"X-%d" % number, b"x" * chance.choice((1, 100))) for number in range(chance.choice((60, 99, 101, 300)))]
    )


# What can be wrong with the framing.


def _wrong_length(message: Message, chance: random.Random) -> Message:
    length = str(max(0, len(message.body) + chance.choice((-5, -1, 1, 5, 1000, 100_000)))).encode()
    return replace(message.without(b"content-length").adding((b"Content-Length", length)), framed=False)


def _truncated(message: Message, chance: random.Random) -> Message:
    wire = message.wire
    return replace(message, raw=wire[: chance.randrange(1, len(wire))], framed=False)


def _chunked(message: Message, chance: random.Random) -> Message:
    size = chance.choice((1, 7, 100, 10_000))
    parts = [message.body[at : at + size] for at in range(0, min(len(message.body), 400 * size), size)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return replace(message.without(b"content-length").adding((b"Transfer-Encoding", b"chunked")), body=body)


def _broken_chunks(message: Message, chance: random.Random) -> Message:
    chunked = _chunked(message, chance)
    bodies = (b"zz\r\n\r\n0\r\n\r\n", b"-5\r\nabc\r\n0\r\n\r\n", b"5\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n", b"ffffffffffffffff\r\nabc", b"0x3\r\nabc\r\n0\r\n\r\n",
              b"3;" + b"x" * 20_000 + b"\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"0\r\nX: y\r\n" * 100 + b"\r\n",
              b"\r\n\r\n", chunked.body[:-3], b"1" * 5000, b"3 \r\nabc\r\n0\r\n\r\n")  # fmt: skip
    return replace(chunked, body=chance.choice(bodies), framed=False)


def _flipped_bytes(message: Message, chance: random.Random) -> Message:
    wire = bytearray(message.wire)
    for _ in range(chance.choice((1, 1, 2, 8))):
        wire[chance.randrange(len(wire))] = chance.randrange(256)
    return replace(message, raw=bytes(wire), framed=False)


def _other_line_ends(message: Message, chance: random.Random) -> Message:
    return replace(
        message,
        raw=message.wire.replace(b"\r\n", chance.choice((b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"\n\r"))),
        framed=False,
    )


def _not_http(_message: Message, chance: random.Random) -> Message:
    raws = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        bytes.fromhex("16030100a5010000a10303") + chance.randbytes(160), b"\r\n" * 100, b"\x00" * 500,
        chance.randbytes(300),
            b"SSH-2.0-x\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /\r\n\r\n", b"A" * 100_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
            b" GET / HTTP/1.1\r\n\r\n")  # fmt: skip
    return Message(b"", b"", raw=chance.choice(raws), framed=False)


def _pipelined(message: Message, chance: random.Random) -> Message:
    return replace(message, raw=message.wire * chance.choice((2, 5)), framed=False)


Mutation = Callable[[Message, random.Random], Message]
MUTATIONS: tuple[Mutation, ...] = (
    *[_odd_json] * 6, *[_nearly_json] * 3, _odd_content_type, _content_encoding, _long_body,
    _odd_method, *[_odd_target] * 2, _odd_query, _odd_version,
    *[_odd_header] * 3, _replaced_header, _header_twice, _header_missing, _many_headers,
    _wrong_length, _truncated, _chunked, _broken_chunks, *[_flipped_bytes] * 2, _other_line_ends, _not_http, _pipelined,
)  # fmt: skip
