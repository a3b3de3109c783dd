"""The four services of Waybill. None imports another; each stands on `app/` alone."""

from importlib.metadata import version

VERSION = version("waybill")
"""The service.version of all four: they are released together."""
