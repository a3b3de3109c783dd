"""Which versions of each service sent telemetry, and since when."""

import sqlite3
from functools import lru_cache

from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from typing_extensions import TypedDict

from waybill_explorer.decode import plain_value

VERSION = "service.version"
FIRST_SEEN = """
SELECT resource, min(first) AS first, max(last) AS last FROM (
    SELECT resource, min(trace) AS first, max(trace) AS last FROM chunks GROUP BY resource
    UNION ALL
    SELECT resource, min((SELECT min(time) FROM points WHERE series = series.id)),
        max((SELECT max(time) FROM points WHERE series = series.id)) FROM series GROUP BY resource
) GROUP BY resource"""
"""When a resource sent its first and last span or data point (µs). The row of a trace is the time of its arrival."""


class VersionJson(TypedDict):
    """A version of a service, when telemetry of it first and last came (µs), and from how many instances.

    `isNew` is whether another version of the service was there before; else it is the oldest that is known.
    """

    service: str
    version: str
    first: int
    last: int
    instances: int
    isNew: bool


def versions(db: sqlite3.Connection) -> list[VersionJson]:
    """Return the versions of all services, the oldest first."""
    found: dict[tuple[str, str], VersionJson] = {}
    rows = db.execute(
        f"SELECT service, body, first, last FROM ({FIRST_SEEN}) JOIN resources ON resources.id = resource"  # noqa: S608
        " WHERE first IS NOT NULL ORDER BY first"
    )
    services: set[str] = set()
    for row in rows:
        service, version = row["service"], _version(row["body"])
        if not version:
            continue
        one = found.get((service, version))
        if one is None:
            one = found[service, version] = {
                "service": service,
                "version": version,
                "first": row["first"],
                "last": row["last"],
                "instances": 0,
                "isNew": service in services,
            }
            services.add(service)
        one["last"] = max(one["last"], row["last"])
        one["instances"] += 1
    return list(found.values())


@lru_cache(maxsize=1024)
def _version(body: bytes) -> str:
    """Return `service.version` of a resource, or nothing."""
    attributes = Resource.FromString(body).attributes
    return next((str(plain_value(item.value)) for item in attributes if item.key == VERSION), "")
