"""The death of a service in this process, at each place where it commits."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.database import Database
from tests.conftest import RunningService, Shop
from tests.support.dependencies import dependency


class Died(BaseException):
    """The process is gone: nothing of it that handles exceptions gets to run."""


class Fate:
    """Lets the process die at the n-th place where it could."""

    def __init__(self, place: int) -> None:
        self._left = place

    def strike(self, _session: Session) -> None:
        """Called at each place."""
        self._left -= 1
        if self._left == 0:
            raise Died

    @property
    def struck(self) -> bool:
        """Whether the place was reached."""
        return self._left <= 0


@contextmanager
def fated(shop: Shop, place: int) -> Iterator[Fate]:
    """Within this, the `place`-th beginning or end of a commit kills the service that commits."""
    fate = Fate(place)
    services = shop.services.values()
    with pytest.MonkeyPatch.context() as patch:
        for service in services:
            patch.setattr(service.app, "wsgi_app", drop_connection_when_dead(service))
        makers = [dependency(service.app, Database).write for service in services]
        for maker in makers:
            event.listen(maker, "before_commit", fate.strike)
            event.listen(maker, "after_commit", fate.strike)
        try:
            yield fate
        finally:
            for maker in makers:
                event.remove(maker, "before_commit", fate.strike)
                event.remove(maker, "after_commit", fate.strike)


def drop_connection_when_dead(service: RunningService) -> Callable[[Any, Any], Any]:
    """What a client sees of a dead process; the server itself has to live on."""
    real = service.app.wsgi_app

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        try:
            return real(environ, start_response)
        except Died:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError from None

    return wsgi_app
