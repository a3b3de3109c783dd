"""What can go wrong in a call to a dependency, without the HTTP library that made it.

DependencyError
├── DependencyUnavailable    no response, or one that asks for another attempt      the caller gets 503, Retry-After
│   └── CircuitOpen          not sent, since earlier calls failed                   503, Retry-After
├── DependencyRefused        a 4xx with a problem body                              502
└── InvalidResponse          a response that breaks the contract                    502

`errors.py` maps those that reach a handler's end. A use case that knows what a refusal means catches it before.
"""

MAX_TEXT = 300
"""Characters of a response that an error, and so a log line or a span, may hold."""


class DependencyError(Exception):
    """A call to the service `dependency` without a usable response. Its text is printable and short."""

    def __init__(self, dependency: str, detail: str) -> None:
        detail = printable(detail)
        super().__init__(f"{dependency}: {detail}")
        self.dependency = dependency
        self.detail = detail


class DependencyUnavailable(DependencyError):
    """No response, or one that asks for another attempt after `retry_after` seconds.

    The dependency may have done the work all the same.
    """

    def __init__(self, dependency: str, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(dependency, detail)
        self.retry_after = retry_after


class CircuitOpen(DependencyUnavailable):
    """The call was not sent: the dependency failed repeatedly a moment ago."""


class DependencyRefused(DependencyError):
    """A 4xx with a problem body: the dependency itself refused. `problem` is the last word of its problem type."""

    def __init__(self, dependency: str, status: int, problem: str, detail: str) -> None:
        super().__init__(dependency, f"{status} {detail}")
        self.status = status
        self.problem = printable(problem)


class InvalidResponse(DependencyError):
    """A response that breaks the contract: another status, too large a body, or one of another form or content."""


def printable(text: str) -> str:
    """Return at most MAX_TEXT characters of `text`, with a replacement for each that cannot be printed."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:MAX_TEXT])
