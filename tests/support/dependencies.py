"""The dependencies of an app, from outside of its requests."""

from typing import TypeVar

import svcs
from flask import Flask

KindT = TypeVar("KindT")


def dependency(app: Flask, kind: type[KindT]) -> KindT:
    """Return what the handlers of `app` get for `kind`."""
    with app.app_context():
        return svcs.flask.get(kind)
