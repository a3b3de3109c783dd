"""The commands of `waybill` against the container stack."""

import subprocess
import sys

from local.settings import ROOT


def waybill(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_doctor_finds_nothing_wrong_with_a_healthy_stack() -> None:
    diagnosed = waybill("doctor")

    assert diagnosed.returncode == 0, diagnosed.stdout
    assert "are up and healthy" in diagnosed.stdout
    assert "✗" not in diagnosed.stdout
    assert "make demo" not in diagnosed.stdout


def test_an_order_is_shown_with_its_trace_and_the_logs_of_all_services_inside() -> None:
    ordered = waybill("order", "--sku", "TEA-SENCHA")

    assert ordered.returncode == 0, ordered.stderr
    assert "CONFIRMED" in ordered.stdout
    assert "No logs" not in ordered.stdout
    assert "· INFO order settled" in ordered.stdout
    assert "● payment-service" in ordered.stdout
