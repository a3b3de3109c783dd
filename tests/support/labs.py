"""The labs, as commands on a running local stack."""

import json
import subprocess
from typing import Any

from tests.support.local_stack import UP, LocalStack


def waybill(running: LocalStack, *arguments: str) -> tuple[int, str]:
    """Run a command on the stack and return its exit status and output."""
    command = [UP[0], *arguments]
    result = subprocess.run(command, env=dict(running.environment), capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def rehearsed(running: LocalStack, name: str, seed: int) -> dict[str, Any]:
    """Play a lab through and return its points: untouched, with a wrong answer, solved. Fail if it does not work."""
    status, output = waybill(running, "lab", "rehearse", name, "--seed", str(seed), "--json")
    assert status == 0, output
    row: dict[str, Any]
    (row,) = json.loads(output)
    return row
