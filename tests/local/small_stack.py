"""`python small_stack.py DATA SPECS [LIMITS]`: run the supervisor on the processes that SPECS, a JSON list, describes.

LIMITS is a JSON object that gives constants of `local.supervisor` and `local.health` other values.
"""

import json
import sys
from pathlib import Path

from local import health, supervisor
from local.processes import ProcessSpec

supervisor.BACKOFF_SECONDS = 0.02
for name, value in json.loads(sys.argv[3]).items():
    setattr(supervisor if hasattr(supervisor, name) else health, name, value)


def place_first_order() -> None:
    sys.stdout.write("first order\n")
    sys.stdout.flush()


specs = [ProcessSpec(**spec) for spec in json.loads(sys.argv[2])]
sys.exit(supervisor.Supervisor(specs, Path(sys.argv[1]), logs=True).run(place_first_order))
