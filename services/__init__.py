"""The four services of Waybill. None imports another; each depends only on `app/`."""

from importlib.metadata import version

VERSION = version("waybill")
"""The service.version of all four: they are released together."""
