"""A stack of its own for each variant: its services, their cache and databases, started as `waybill up` does."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from bench.shop import QUIET, Shop
from bench.telemetry.results import Results
from bench.telemetry.variants import Case
from local.child import environment
from local.health import responds
from local.processes import ProcessSpec, process_table
from local.registry import DATABASES, SERVICES
from local.settings import ROOT, LocalSettings
from tests.support import processes
from tests.support.local_stack import PORTS
from tests.support.servers import create_database

POLL_SECONDS = 0.02
START_SECONDS = 240
NOT_STARTED = ("explorer",)
"""The telemetry goes to the sink."""
SAME_FOR_ALL = {**QUIET, "OTEL_METRIC_EXPORT_INTERVAL": "10000"}
"""What would otherwise differ between stock and the kit."""


class Stack:
    """The processes of one case, on free ports, and what was measured of them."""

    shop: Shop

    def __init__(self, case: Case, ports: Sequence[int], folder: Path, server: str | None) -> None:
        """Give it a port for each of PORTS, and databases: on a PostgreSQL server or, without, as files in `folder`."""
        self.case = case
        self.folder = folder
        folder.mkdir()
        urls = {f"{name}_database_url": create_database(server, name) for name in DATABASES} if server else {}
        settings: dict[str, Any] = {**dict(zip(map(str.lower, PORTS), ports, strict=True)), **urls}
        self.settings = LocalSettings(waybill_data=folder, **settings)
        self.specs = {spec.name: spec for spec in process_table(self.settings) if spec.name not in NOT_STARTED}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.results = Results(case.title)

    @property
    def title(self) -> str:
        return self.case.title

    @property
    def otlp_port(self) -> int:
        """Where its telemetry goes, by gRPC."""
        return self.settings.otlp_grpc_port

    @property
    def databases(self) -> Mapping[str, str]:
        """The URL of the database of each service that has one."""
        return {name: self.settings.database_url(name) for name in DATABASES}

    def start(self, name: str) -> float:
        """Start a row of the process table; return the seconds until it is ready or, for a command, has succeeded."""
        spec = self._as_the_variant(self.specs[name])
        log = self.folder / f"{name}.log"
        began = time.perf_counter()
        with log.open("wb") as file:
            process = processes.start(
                list(spec.command), cwd=ROOT, env=environment(spec), stdout=file, stderr=subprocess.STDOUT
            )
        self.running[name] = process
        while not (responds(spec.ready, 10) if spec.ready else process.poll() == 0):
            if process.poll() or time.perf_counter() > began + START_SECONDS:
                raise SystemExit(f"{self.title}: {name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - began

    def open(self, connections: int) -> None:
        """Make the running services a shop that is used over so many connections, and warm it up."""
        masters = [psutil.Process(self.running[f"{service}-service"].pid) for service in SERVICES]
        self.shop = Shop(self.title, self.settings.port("order"), masters, connections)
        self.shop.prepare(self.databases["inventory"])

    def terminate(self) -> None:
        for process in self.running.values():
            process.terminate()

    def wait(self) -> None:
        for process in self.running.values():
            process.wait()

    def _as_the_variant(self, spec: ProcessSpec) -> ProcessSpec:
        service = spec.name.removesuffix("-service")
        if service not in SERVICES:
            return spec
        variant = self.case.variant
        command = (*variant.launcher, *spec.command[:-1], variant.application.format(service))
        variables = {
            "OTEL_SERVICE_NAME": spec.name,
            **spec.environment,
            **SAME_FOR_ALL,
            "WEB_CONCURRENCY": str(self.case.workers),
            **variant.environment,
        }
        return replace(spec, command=command, environment=variables)
