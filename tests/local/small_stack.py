"""`python small_stack.py DATA SPECS`: run the supervisor on the processes that SPECS, a JSON list, describes."""

import json
import sys
from pathlib import Path

from local import supervisor
from local.processes import ProcessSpec

supervisor.STOP_SECONDS = 1
supervisor.BACKOFF_SECONDS = 0.02


def place_first_order() -> None:
    sys.stdout.write("first order\n")
    sys.stdout.flush()


specs = [ProcessSpec(**spec) for spec in json.loads(sys.argv[2])]
sys.exit(supervisor.Supervisor(specs, Path(sys.argv[1]), logs=True).run(place_first_order))
