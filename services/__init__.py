"""The four services of Waybill. None imports another; each depends only on `app/`."""

VERSION = "0.2.0"
"""The service.version of all four: they are released together, in the version that pyproject.toml names, too."""
