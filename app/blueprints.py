"""Blueprints that declare how the kit observes them."""

import flask
from flask import Blueprint


class QuietBlueprint(Blueprint):
    """A blueprint whose requests are neither traced nor logged, such as probes and the files of a page.

    The `before_request` hooks of create_service are not called for them either.
    """


def is_quiet() -> bool:
    """Return whether the current request belongs to a QuietBlueprint."""
    blueprint = flask.current_app.blueprints.get(flask.request.blueprint or "")
    return isinstance(blueprint, QuietBlueprint)
