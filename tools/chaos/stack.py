"""`python -m tools.chaos.stack`: the local stack with proxies before the dependencies, and clocks that can be shifted.

It differs from `waybill up` in the environment of the services alone: CHAOS_URLS (JSON: variable -> URL) replaces the
URLs of order-service's dependencies, and each service gets the module that shifts its clock, with a folder of its own
in CHAOS_CLOCKS.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from local.processes import ProcessSpec, process_table
from local.settings import LocalSettings
from local.supervisor import Supervisor

CLOCK = Path(__file__).parent / "clock"


def with_faults(spec: ProcessSpec, urls: dict[str, str], clocks: Path) -> ProcessSpec:
    """Return the row with the proxies' URLs and a clock; rows that are no service stay as they are."""
    name, _, kind = spec.name.partition("-")
    if kind != "service":
        return spec
    clock = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCKS": str(clocks / name)}
    proxies = {variable: url for variable, url in urls.items() if variable in spec.environment}
    return replace(spec, environment={**spec.environment, **clock, **proxies})


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    settings = LocalSettings()
    urls = json.loads(os.environ["CHAOS_URLS"])
    clocks = Path(os.environ["CHAOS_CLOCKS"])
    table = [with_faults(spec, urls, clocks) for spec in process_table(settings)]
    sys.exit(Supervisor(table, settings.waybill_data).run())


if __name__ == "__main__":
    main()
