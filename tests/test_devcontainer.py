"""In a codespace, the browser reaches the local stack through forwarded addresses, not through 127.0.0.1."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from local.child import environment
from local.processes import process_table
from local.settings import LocalSettings

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".devcontainer/codespace.sh"


def exports(**environment: str) -> dict[str, str]:
    """What a shell with `environment` gets from the script."""
    command = [SCRIPT.as_posix()]
    env = {"PATH": os.environ["PATH"], **environment}
    printed = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    words = shlex.split(printed)
    assert words[::2] == ["export"] * (len(words) // 2)
    return dict(word.split("=", 1) for word in words[1::2])


def test_outside_a_codespace_nothing_changes() -> None:
    assert exports() == {}


def test_in_a_codespace_each_address_is_the_forwarded_one() -> None:
    variables = exports(CODESPACE_NAME="fluffy-tea", GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN="ports.example")

    assert variables == {
        "PAGE_OTLP_ENDPOINT": "https://fluffy-tea-4318.ports.example",
        "PAGE_TRACES_URL": "https://fluffy-tea-16686.ports.example",
        "ALLOWED_HOSTS": "fluffy-tea-8080.ports.example",
        "WAYBILL_ALLOWED_HOSTS": "fluffy-tea-16686.ports.example fluffy-tea-4318.ports.example",
        "WAYBILL_CORS_ORIGINS": "http://127.0.0.1:* http://localhost:* https://fluffy-tea-8080.ports.example",
    }


def test_a_port_that_was_moved_is_moved_in_its_address_too() -> None:
    variables = exports(CODESPACE_NAME="fluffy-tea", TRACES_PORT="26686")

    assert variables["PAGE_TRACES_URL"] == "https://fluffy-tea-26686.app.github.dev"


def test_the_shop_links_to_the_forwarded_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = exports(CODESPACE_NAME="fluffy-tea")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    settings = LocalSettings()
    (order,) = (spec for spec in process_table(settings) if spec.name == "order-service")

    assert order.environment["PAGE_TRACES_URL"] == "https://fluffy-tea-16686.app.github.dev"
    assert order.environment["PAGE_OTLP_ENDPOINT"] == "https://fluffy-tea-4318.app.github.dev"
    (explorer,) = (spec for spec in process_table(settings) if spec.name == "explorer")
    for name in ("WAYBILL_CORS_ORIGINS", "WAYBILL_ALLOWED_HOSTS"):
        assert environment(explorer)[name] == variables[name]


def test_each_shell_of_the_dev_container_runs_the_script_and_the_ports_of_the_stacks_are_forwarded() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())

    assert f"${{containerWorkspaceFolder}}/{SCRIPT.relative_to(ROOT)}" in container["postCreateCommand"]["addresses"]
    assert {str(port) for port in container["forwardPorts"]} <= set(dotenv_values(ROOT / ".env").values())
    assert container["portsAttributes"].keys() == {str(port) for port in container["forwardPorts"]}
