"""Extensions: routes of the project that runs the explorer, such as an exercise about what the telemetry shows.

`WAYBILL_EXTENSIONS` names a function of each as `package.module:function`. It returns a Flask blueprint: its name is in
`/page-config.json`, and `/<name>` is an address of the page. The page shows the view of a name that it knows.
"""

import pkgutil

from flask import Blueprint

from waybill_explorer.client import ClientError


def load_extensions(names: str) -> list[Blueprint]:
    """Return the blueprints of the functions named, separated by spaces. Raise ClientError if one cannot be used."""
    return [_load(name) for name in names.split()]


def _load(name: str) -> Blueprint:
    try:
        made = pkgutil.resolve_name(name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ClientError(f"WAYBILL_EXTENSIONS: {name} cannot be loaded: {error}") from error
    if not isinstance(made, Blueprint):
        raise ClientError(f"WAYBILL_EXTENSIONS: {name} returns {type(made).__name__}, not a Flask blueprint")
    return made
