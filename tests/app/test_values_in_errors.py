"""The error of a statement says its class and its code, and nothing of the values in any column."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

from tests.app.failing_statements import CANARIES
from tests.support.service_process import ROOT
from tests.support.telemetry_receiver import Receiver, matching
from tests.support.tested_services import WITH_DATABASE


def free_of_values(text: str) -> bool:
    return not any(canary in text for canary in CANARIES)


def test_no_value_of_any_column_of_any_service_is_in_a_span_a_log_or_an_exception(
    new_database: Callable[[str], str], own_receiver: Receiver
) -> None:
    url = new_database("failing")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.app.failing_statements", url, *WITH_DATABASE],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        | {"OTEL_EXPORTER_OTLP_ENDPOINT": own_receiver.endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "9000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    *lines, causes = ran.stdout.splitlines()
    assert set(json.loads(causes)) == (POSTGRESQL if url.startswith("postgresql") else SQLITE)

    failed = [span for span in matching(own_receiver.spans, name="attempt") if span.status == "ERROR"]
    statements = [span for span in own_receiver.spans if span.kind == "CLIENT" and span.status == "ERROR"]
    assert len(failed) >= 20
    assert {name for span in failed for name, _ in span.events} == {"exception"}
    assert len(matching(own_receiver.logs, severity="ERROR")) == len(failed)
    for signal in (*failed, *statements, *own_receiver.logs):
        assert free_of_values(repr(signal)), signal
    for line in lines:
        assert free_of_values(line), line


SQLITE = {
    "taken",
    "(sqlite3.IntegrityError) IntegrityError (SQLITE_CONSTRAINT_CHECK)",
    "(sqlite3.IntegrityError) IntegrityError (SQLITE_CONSTRAINT_FOREIGNKEY)",
    "(sqlite3.IntegrityError) IntegrityError (SQLITE_CONSTRAINT_NOTNULL)",
    "(sqlite3.IntegrityError) IntegrityError (SQLITE_CONSTRAINT_PRIMARYKEY)",
    "(sqlite3.IntegrityError) IntegrityError (SQLITE_CONSTRAINT_UNIQUE)",
    "(builtins.AttributeError) AttributeError",
}
POSTGRESQL = {
    "taken",
    "(psycopg.errors.UniqueViolation) UniqueViolation (23505)",
    "(psycopg.errors.CheckViolation) CheckViolation (23514)",
    "(psycopg.errors.NotNullViolation) NotNullViolation (23502)",
    "(psycopg.errors.ForeignKeyViolation) ForeignKeyViolation (23503)",
    "(psycopg.errors.StringDataRightTruncation) StringDataRightTruncation (22001)",
    "(psycopg.errors.InvalidTextRepresentation) InvalidTextRepresentation (22P02)",
    "(psycopg.errors.InvalidDatetimeFormat) InvalidDatetimeFormat (22007)",
    "(builtins.AttributeError) AttributeError",
}
