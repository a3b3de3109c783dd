"""bench.telemetry measures what its page says; the figures are not tested."""

import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session

from bench.telemetry.results import write_block
from bench.telemetry.stored import copy_orders
from bench.telemetry.variants import Variant
from local.settings import ROOT
from services.order.models import Order, OrderLine, Status
from tests.conftest import migrate

MINIMAL = "--variants none,stock --rounds 1 --seconds 0.1 --rate 20 --markdown"
PAGE = ROOT / "docs" / "telemetry-cost.md"


def test_a_minimal_run_prints_every_row_for_none_and_for_zero_code_instrumentation() -> None:
    command = [sys.executable, "-m", "bench.telemetry", *MINIMAL.split()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    head, _, *lines = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("|")]
    assert head == ["none", "stock"]
    rows = {label.replace("`", ""): cells for label, *cells in lines}
    for endpoint in ("POST /orders", "GET /orders/{id}", "GET /items"):
        assert all(float(cell) > 0 for cell in rows[f"{endpoint}: CPU per request, ms"])
        assert all(float(cell) > 0 for cell in rows[f"{endpoint}: requests/s at saturation"])
    assert all(float(cell) > 0 for cell in rows["POST /orders, 20 requests/s: P99, ms"])
    assert all(float(cell) > 10 for cell in rows["Memory of a worker, MB"])
    assert all(float(cell) > 0 for cell in rows["Start of a service until it is ready, s"])
    none, stock = map(float, rows["Traces and logs per order, kB"])
    assert none == 0 < stock


def test_an_order_is_copied_with_its_lines_under_new_ids(new_database: Callable[[str], str]) -> None:
    url = new_database("order")
    migrate("order", url)
    engine = create_engine(url)
    original = an_order()
    with Session(engine) as session:
        session.add(original)
        session.commit()
        copy_orders(url, {original.id: 1}, 50, random.Random(1))
        copies = session.scalars(select(Order).where(Order.id != original.id)).all()
        assert len({order.id for order in copies}) == 50
        assert len({order.created_at for order in copies}) == 50
        assert {order.status for order in copies} == {Status.CONFIRMED}
        assert {tuple((line.sku, line.quantity) for line in order.lines) for order in copies} == {(("a", 1), ("b", 2))}
        assert session.scalar(select(func.count()).select_from(OrderLine)) == 2 * 51
    engine.dispose()


def an_order() -> Order:
    texts = {"idempotency_key": "key", "fingerprint": "0" * 64, "customer_id": "cus_1", "region": "eu"}
    lines = [OrderLine(sku="a", quantity=1), OrderLine(sku="b", quantity=2)]
    return Order(id=uuid.uuid4(), payment_token="tok_approve", status=Status.CONFIRMED, lines=lines, **texts)


def test_a_variant_whose_packages_are_missing_is_not_installed() -> None:
    assert Variant("absent", entry_point=("opentelemetry_tracer_provider", "absent")).installed is False


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("what", ["variants", "stored", "workers"])
def test_the_page_has_a_place_for_each_table(what: str, database: str, tmp_path: Path) -> None:
    page = Path(shutil.copy(PAGE, tmp_path))
    write_block(page, f"{what} {database}", "the table\n")
    assert page.read_text().count("the table\n") == 1
    write_block(page, f"{what} {database}", "the new table\n")
    assert "the table\n" not in page.read_text()


def test_a_page_without_the_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match=r"page\.md: found 0 blocks `variants sqlite`"):
        write_block(page, "variants sqlite", "the table")
