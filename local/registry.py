"""The services, read from `services.toml`: every list of services in code is derived from here."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = Path(__file__).resolve().parent.parent / "services.toml"


class Service(BaseModel):
    """An entry of the registry: what the tools have to know of a service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9]*$")
    """Its folder, its database and, as `<name>-service`, its host and its service.name."""
    port: int = Field(gt=0, lt=65536)
    """Where it listens, unless `<NAME>_PORT` in the environment moves it."""
    calls: tuple[str, ...] = ()
    """The services whose URLs it is given, as `<NAME>_URL`."""
    cache: bool = False
    """Whether it is given a CACHE_URL."""
    page: str | None = None
    """The title of the page that it serves to browsers; with a page, its port is published."""
    database: bool = True
    """Whether it has a database, a folder of migrations and a DATABASE_URL."""
    color: int | None = Field(default=None, ge=1, le=8)
    """The number of its color in the explorer; its log lines in the terminal have the nearest one. The explorer chooses
    one for a service without."""
    memory: int = Field(default=192, gt=0)
    """The memory limit of its container in MiB."""
    stacks: bool = True
    """Whether the stacks run it. The skeleton of new services is only tested."""

    @property
    def host(self) -> str:
        """Return its name in telemetry, in the process table and on the network of the container stack."""
        return f"{self.name}-service"

    def variable(self, what: str) -> str:
        """Return the variable of this service that holds its PORT, URL or DATABASE_URL."""
        return f"{self.name.upper()}_{what}"


def read(file: Path = FILE) -> dict[str, Service]:
    """Return the services by name, in the order of the file; raise ValueError that names a wrong entry."""
    services: dict[str, Service] = {}
    for name, entry in tomllib.loads(file.read_text()).items():
        try:
            services[name] = Service(name=name, **entry)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise ValueError(f"{file.name}: [{name}] {wrong}. Correct the entry.") from None
    for service in services.values():
        if unknown := set(service.calls) - services.keys():
            names = ", ".join(sorted(unknown))
            raise ValueError(f"{file.name}: [{service.name}] calls {names}, which has no entry. Add one.")
        if service.stacks and (absent := [name for name in service.calls if not services[name].stacks]):
            names = ", ".join(absent)
            raise ValueError(f"{file.name}: [{service.name}] calls {names}, which is in no stack. Remove the call.")
    port, times = Counter(service.port for service in services.values()).most_common(1)[0]
    if times > 1:
        names = " and ".join(service.name for service in services.values() if service.port == port)
        raise ValueError(f"{file.name}: {names} have the same port {port}. Give each its own.")
    return services


def start_order(services: Mapping[str, Service]) -> tuple[str, ...]:
    """Return the names of the services, each after those that it calls; raise ValueError if they call in a circle."""
    try:
        return tuple(TopologicalSorter({name: service.calls for name, service in services.items()}).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ValueError(f"{FILE.name}: {circle} call each other in a circle. Remove one of the calls.") from None


def in_stacks(services: Mapping[str, Service]) -> dict[str, Service]:
    """Return those of the services that the stacks run."""
    return {name: service for name, service in services.items() if service.stacks}


ALL = read()
"""Every entry, by the service's name."""
REGISTRY = in_stacks(ALL)
"""The services of the stacks."""
SERVICES = start_order(REGISTRY)
"""Their names, in the order in which they start."""
DATABASES = tuple(name for name in SERVICES if REGISTRY[name].database)
"""The names of those that have a database."""
