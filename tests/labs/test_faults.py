"""What the faults want of the processes, and what the commands refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text
from typer.testing import CliRunner

from labs import announce, data, definitions, faults, plan, releases
from labs.faults import Data, Fault, Link, Neighbor, Release
from labs.plan import Plan
from local.cli import app
from local.data_folder import locked
from local.settings import LocalSettings
from local.wanted import Wanted, read, write
from tests.conftest import migrate
from waybill_explorer.client import ClientError

GIVEAWAY = re.compile(r"fault|\blabs?\b|chaos|inject", re.IGNORECASE)
"""What no telemetry may say."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSettings:
    """A data folder of its own."""
    monkeypatch.setenv("WAYBILL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OTLP_HTTP_PORT", "1")  # where nothing listens
    (tmp_path / "data" / "labs").mkdir(parents=True)
    return LocalSettings()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, result.output


def link(**fields: Any) -> Link:
    return Link(**{"service": "payment", "mode": "reset", "port": 18082, **fields})


def a_plan(*on: Fault, attempt: str = "") -> Plan:
    return Plan(faults=on, ends_at=2e9, says="one is other", off="end it", attempt=attempt)


def put(settings: LocalSettings, found: Plan) -> None:
    """Write a plan as if a stack had reached it."""
    write(
        settings.waybill_data,
        Wanted(id="1", ends_at=2e9, says=found.says, off=found.off, notes=found.model_dump(mode="json")),
    )


def test_a_link_takes_the_port_of_the_service_which_moves_behind_it(settings: LocalSettings) -> None:
    wanted = faults.processes(settings, [link()])

    assert wanted["payment-service"].environment["PORT"] == "18082"
    assert wanted["payment-service"].ready == "http://127.0.0.1:18082/readyz"
    assert wanted["link-payment"].command[3:5] == (str(settings.port("payment")), "18082")
    assert wanted["link-payment"].ready == f"http://127.0.0.1:{settings.port('payment')}/readyz"


def test_a_link_of_the_cache_passes_bytes(settings: LocalSettings) -> None:
    wanted = faults.processes(settings, [link(service="cache", port=16379)])
    assert wanted["cache"].environment == {"CACHE_PORT": "16379"}
    assert wanted["link-cache"].command[-1] == "--tcp"


def test_faults_of_one_service_add_up(settings: LocalSettings, tmp_path: Path) -> None:
    release = Release(service="payment", version="0.2.1", folder=tmp_path)
    setting = faults.new_setting("payment", "THREADS=2")

    wanted = faults.processes(settings, [release, link(), setting])["payment-service"]

    assert wanted.environment["PORT"] == "18082"
    assert wanted.environment["THREADS"] == "2"
    assert wanted.environment["PYTHONPATH"].startswith(str(tmp_path))


def test_a_link_that_changes_keeps_its_port_so_that_nothing_restarts(settings: LocalSettings) -> None:
    first = faults.new_link(settings, [], "payment", "reset")
    second = faults.new_link(settings, [first], "payment", "delay", seconds=1.0)
    assert second.port == first.port
    assert faults.processes(settings, [first]) == faults.processes(settings, [second])


def test_a_neighbor_reads_the_database_of_inventory_under_a_name_of_its_own(settings: LocalSettings) -> None:
    neighbor = faults.new_neighbor(settings, [], "stock-report", 1.5, 4.0)
    (wanted,) = faults.processes(settings, [neighbor]).values()
    assert wanted.environment["DATABASE_URL"] == settings.database_url("inventory")
    assert not GIVEAWAY.search(neighbor.name)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("link payment", "choose one of --delay DURATION"),
        ("link payment --delay 1s --reset", "choose one of --delay DURATION"),
        ("link payments --reset", "there is no service 'payments'. Name one of"),
        ("link payment --reset --share 30", "write 0.3 for 30 %"),
        ("link payment --reset --path charges", "begins with a slash"),
        ("link cache --lose-answer", "cannot lose-answer: choose one of delay, reset, hold"),
        ("link payment --delay soon", "is not a duration"),
        ("setting payment PROCESSOR_LATENCY_MS", "write NAME=VALUE"),
        ("setting payment PORT=1", "PORT belongs to the local stack"),
        ("neighbor disk-report", "Name one of stock-report"),
        ("neighbor stock-report --hold 5s --every 4s", "let --every be longer"),
        ("release order no-such.patch", "no local stack runs here"),
        ("link payment --reset", "no local stack runs here: start it with `make demo`"),
    ],
)
def test_what_cannot_be_switched_on_is_refused_with_what_to_do(
    settings: LocalSettings, arguments: str, problem: str
) -> None:
    status, output = run("fault", "on", *arguments.split())
    assert status != 0
    assert problem in " ".join(output.replace("│", " ").split())
    assert read(settings.waybill_data) is None


def test_a_patch_that_does_not_exist_is_named_with_those_that_do(settings: LocalSettings) -> None:
    with locked(settings.waybill_data):
        status, output = run("fault", "on", "release", "order", "no-such.patch")
    assert status == 1
    assert "no patch 'no-such.patch': name a file, or one of " in output
    assert "lost-thread" in output


def test_a_patch_of_another_service_is_refused(settings: LocalSettings) -> None:
    with locked(settings.waybill_data):
        status, output = run("fault", "on", "release", "payment", "lost-thread")
    assert status == 1
    assert "lost-thread changes order, not payment" in output


def test_status_and_off_say_so_when_nothing_is_on(settings: LocalSettings) -> None:
    assert run("fault", "status") == (0, "No fault is on.\n")
    assert run("fault", "off") == (0, "No fault is on.\n")
    assert settings.waybill_data.exists()


def test_status_counts_whom_a_link_has_hurt(settings: LocalSettings) -> None:
    put(settings, a_plan(link()))
    lines = [{"at": 1, "trace_id": "a" * 32}, {"at": 2, "trace_id": "a" * 32}, {"at": 3, "trace_id": ""}]
    faults.record_file(settings, "payment").write_text("".join(json.dumps(line) + "\n" for line in lines))

    status, output = run("fault", "status", "--json")

    (report,) = json.loads(output)["faults"]
    assert status == 0
    assert report["requests"] == 3
    assert report["trace_ids"] == ["a" * 32]


def test_the_faults_of_a_lab_are_not_shown_or_changed_by_the_commands_for_presenters(settings: LocalSettings) -> None:
    put(settings, a_plan(link(), attempt="abc"))
    for arguments in (["status"], ["off"], ["on", "link", "payment", "--reset"]):
        status, output = run("fault", *arguments)
        assert status == 1
        assert "a lab is on" in output
        assert "reset" not in output


def test_off_names_what_is_on_if_it_does_not_find_a_fault(settings: LocalSettings) -> None:
    put(settings, a_plan(link()))
    status, output = run("fault", "off", "link", "order")
    assert status == 1
    assert "no fault 'link order' is on. On: link payment." in output


def test_doctor_reports_what_is_on_and_how_to_end_it(settings: LocalSettings) -> None:
    put(settings, a_plan(link()))
    _, output = run("doctor")
    assert "one is other; ends in" in output


def test_a_change_of_data_has_its_undo_stored_before_and_is_undone_once(settings: LocalSettings) -> None:
    engine = create_engine(settings.database_url("order"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))

    changed = data.change(settings, "order", ["INSERT INTO notes VALUES (1)"], ["INSERT INTO notes VALUES (2)"])
    assert json.loads(changed.file.read_text())["statements"] == ["INSERT INTO notes VALUES (2)"]
    data.restore(settings, changed.file)
    data.restore(settings, changed.file)

    with engine.begin() as connection:
        assert connection.execute(text("SELECT id FROM notes")).scalars().all() == [1, 2]
    engine.dispose()


def test_the_sql_of_a_lab_changes_a_database_and_its_undo_leaves_it_as_it_was(settings: LocalSettings) -> None:
    url = settings.database_url("order")
    migrate("order", url)
    engine = create_engine(url)

    def state() -> tuple[Any, ...]:
        with engine.connect() as connection:
            orders = connection.execute(text("SELECT count(*) FROM orders")).scalar()
        indexes = sorted(str(index["name"]) for index in inspect(engine).get_indexes("orders"))
        return orders, indexes

    before = state()
    lab = definitions.find("page-of-orders")
    case = next(case for case in (definitions.case(lab, seed) for seed in range(40)) if "data" in case.fault)
    case = case.model_copy(update={"values": {**case.values, "rows": 500}})
    change, undo = (definitions.patch_of(case, case.fault["data"][part]).split(";") for part in ("change", "undo"))

    changed = data.change(settings, "order", change, undo, case.fault["data"]["name"])

    assert changed.key == "data order ix_orders_created_at_id"
    assert case.fixes == (f"repair {changed.key}",)
    assert state() == (500, [name for name in before[1] if name != "ix_orders_created_at_id"])
    data.restore(settings, changed.file)
    assert state() == before
    engine.dispose()


def test_sql_that_the_database_refuses_changes_nothing_and_leaves_no_undo(settings: LocalSettings) -> None:
    with pytest.raises(ClientError, match="the database of order refuses it"):
        data.change(settings, "order", ["DELETE FROM no_such"], ["SELECT 1"])
    assert [*faults.folder(settings).iterdir()] == []


def test_faults_of_a_stack_that_no_longer_runs_are_cleared_with_their_undo(settings: LocalSettings) -> None:
    engine = create_engine(settings.database_url("order"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    put(settings, a_plan(data.change(settings, "order", ["SELECT 1"], ["INSERT INTO notes VALUES (2)"])))

    plan.clear(settings)

    assert read(settings.waybill_data) is None
    with engine.begin() as connection:
        assert connection.execute(text("SELECT id FROM notes")).scalars().all() == [2]
    engine.dispose()


def test_what_cannot_be_undone_stays_on_until_it_can(settings: LocalSettings) -> None:
    engine = create_engine(settings.database_url("order"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    changed = data.change(settings, "order", ["DROP TABLE notes"], ["INSERT INTO notes VALUES (1)"])
    put(settings, a_plan(changed))

    with pytest.raises(ClientError, match="the database of order refuses it"):
        plan.clear(settings)
    assert plan.current(settings) == a_plan(changed)

    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    plan.clear(settings)
    assert plan.current(settings) is None
    engine.dispose()


def test_the_deploy_log_tells_of_each_change_and_gives_nothing_away(settings: LocalSettings, tmp_path: Path) -> None:
    release = Release(service="order", version="0.2.1", folder=tmp_path)
    all_kinds: list[Fault] = [
        release,
        link(),
        faults.new_setting("payment", "THREADS=2"),
        Neighbor(name="stock-report", seconds=1, every=4, port=18090),
        Data(service="order", change="DROP INDEX x", file=tmp_path / "undo-1.json"),
    ]
    began = [body for _, body in plan.texts(None, a_plan(*all_kinds))]
    ended = [body for _, body in plan.texts(a_plan(*all_kinds), None)]

    assert "order-service 0.2.1 deployed" in began
    assert "stock-report deployed" in began
    assert "stock-report stopped" in ended
    assert len(began) == len(ended) == 5
    assert not [body for body in (*began, *ended) if GIVEAWAY.search(body)]
    announce.announce(settings, plan.texts(None, a_plan(*all_kinds)))  # without a backend, nothing happens


def test_the_deploy_log_tells_of_changes_that_do_no_harm_in_the_same_words(
    settings: LocalSettings, tmp_path: Path
) -> None:
    harmful = Release(service="order", version="0.1.1", folder=tmp_path)
    harmless = Release(service="payment", version="0.1.1", folder=tmp_path)
    found = a_plan(harmful).model_copy(update={"others": (harmless,)})
    assert [body for _, body in plan.texts(None, found)] == [
        "order-service 0.1.1 deployed",
        "payment-service 0.1.1 deployed",
    ]
    assert set(faults.processes(settings, found.changes)) == {"order-service", "payment-service"}
    rolled_back = found.without("release payment")
    assert rolled_back.changes == (harmful,)
    ((host, body),) = plan.texts(found, rolled_back)
    assert (host, body) == ("payment-service", f"payment-service {releases.base_version()} deployed")


def test_a_change_that_does_no_harm_stays_one_when_it_is_deployed_again(tmp_path: Path) -> None:
    harmless = Release(service="payment", version="0.1.1", folder=tmp_path)
    found = a_plan(link()).model_copy(update={"others": (harmless,)})
    later = found.with_fault(harmless.model_copy(update={"version": "0.1.2"}))
    assert later.faults == found.faults
    assert [other.version for other in later.others if isinstance(other, Release)] == ["0.1.2"]


def test_variables_that_were_changed_along_with_a_setting_come_and_go_with_it(settings: LocalSettings) -> None:
    setting = faults.new_setting("order", "OTEL_TRACES_SAMPLER=parentbased_traceidratio").model_copy(
        update={"also": (("OTEL_TRACES_SAMPLER_ARG", "0.1"),)}
    )
    (process,) = faults.processes(settings, [setting]).values()
    assert dict(process.environment) == {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }


def test_two_commands_do_not_change_the_plan_at_the_same_time(settings: LocalSettings) -> None:
    with plan.exclusive(settings), pytest.raises(ClientError, match="another command"), plan.exclusive(settings):
        pass
    with plan.exclusive(settings):
        pass  # it is free again
