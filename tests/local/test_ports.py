"""Which port is proposed instead of a taken one."""

import socket
from pathlib import Path

import pytest

from local import ports
from local.ports import free_port, taken_ports


@pytest.mark.parametrize("port", [8080, 22_768, 30_000, 40_000, 65_000])
def test_a_proposed_port_is_below_the_ephemeral_range_and_can_be_listened_on(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for range_file, end in (("20000 60999", 20_000), (None, 32_768)):
        monkeypatch.setattr(ports, "EPHEMERAL", tmp_path / str(range_file))
        if range_file:
            (tmp_path / range_file).write_text(range_file)

        proposed = free_port(port, ())

        assert 1024 <= proposed < end
        socket.create_server(("127.0.0.1", proposed)).close()


def test_a_proposed_port_is_neither_taken_nor_another_setting_s() -> None:
    first = free_port(10_000, ())
    with socket.create_server(("127.0.0.1", first)):
        second = free_port(first - 10_000, {first + 1})

    assert second not in (first, first + 1)


def test_where_every_port_is_ephemeral_any_free_one_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text("1024 65535")
    monkeypatch.setattr(ports, "EPHEMERAL", tmp_path / "range")

    socket.create_server(("127.0.0.1", free_port(8080, ()))).close()


def test_two_taken_ports_are_not_moved_to_the_same_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        lines = taken_ports({"ORDER_PORT": one.getsockname()[1], "PAYMENT_PORT": other.getsockname()[1]})

    proposals = [line.rpartition("=")[2] for line in lines]
    assert len(set(proposals)) == 2
