"""The wheel in an environment of its own: started in an empty folder, it shows the telemetry of an app it never met."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest
import requests

from waybill_explorer import instructions
from waybill_explorer.page import BUILT

from .conftest import free_ports, until

EXPLORER = Path(__file__).resolve().parent.parent
ROOT = EXPLORER.parent
UV = ROOT / ".uv" / "bin" / "uv"
APP = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("kettle").start_as_current_span("boil water") as span:
    print(format(span.get_span_context().trace_id, "032x"))
"""
"""An app with the OpenTelemetry SDK: where its telemetry goes is up to the environment."""


@dataclass
class Installed:
    """The wheel, and the command that it installed."""

    wheel: Path
    command: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.command, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel and install it, with the locked versions of what it needs, into a new environment."""
    if not (BUILT / "index.html").exists():
        pytest.fail("the page is not built: `make web/dist/.built` builds it, and so does `make test`")
    folder = tmp_path_factory.mktemp("installed")
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder / "venv"), "UV_OFFLINE": "1"}

    def uv(*arguments: object) -> None:
        command = [str(UV), *map(str, arguments), "--quiet"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)

    uv("build", "--wheel", "--out-dir", folder, EXPLORER)
    (wheel,) = folder.glob("*.whl")
    uv("sync", "--frozen", "--package", "waybill-explorer", "--no-default-groups", "--no-install-workspace")
    uv("pip", "install", "--no-deps", "--python", folder / "venv", wheel)
    return Installed(wheel, folder / "venv" / "bin" / "waybill-explorer")


@dataclass
class Running:
    """A running explorer and what it has printed."""

    folder: Path
    url: str
    printed: str


@pytest.fixture(scope="module")
def running(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start the command in an empty folder, on free ports."""
    folder, output = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("output") / "stdout"
    options = zip(("--grpc-port", "--http-port", "--port"), map(str, free_ports(3)), strict=True)
    with output.open("w") as stdout:
        arguments = [argument for option in options for argument in option]
        process = subprocess.Popen([installed.command, *arguments], cwd=folder, stdout=stdout)
    url = f"http://127.0.0.1:{arguments[-1]}"

    def is_ready() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            return requests.get(f"{url}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    until(is_ready, 60)
    yield Running(folder, url, output.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_the_wheel_has_the_page_and_nothing_but_the_package(installed: Installed) -> None:
    names = ZipFile(installed.wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"waybill_explorer"}
    assert "waybill_explorer/static/index.html" in names
    assert [name for name in names if re.fullmatch(r"waybill_explorer/static/assets/.*\.js", name)]
    files = [name for name in names if not name.endswith("/") and "/static/" in name]
    page = r"waybill_explorer/static/(index\.html|assets/[^/]+)"
    assert [name for name in files if not re.fullmatch(page, name)] == []


def test_what_an_app_sends_by_the_printed_variables_is_there_to_read(installed: Installed, running: Running) -> None:
    (line,) = re.findall(r"export (.+)", running.printed)
    variables = dict(pair.split("=", 1) for pair in line.split()) | {"OTEL_SERVICE_NAME": "kettle"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    sent = subprocess.run([sys.executable, "-c", APP], env=environment, capture_output=True, text=True, check=True)
    trace_id = sent.stdout.strip()

    (trace,) = requests.get(f"{running.url}/api/traces/{trace_id}", timeout=10).json()["data"]
    assert [span["operationName"] for span in trace["spans"]] == ["boil water"]
    assert requests.get(f"{running.url}/api/services", timeout=10).json()["data"] == ["kettle"]

    shown = installed.run("trace", trace_id, "--url", running.url)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "kettle" in shown.stdout
    assert "boil water" in shown.stdout


def test_it_prints_its_addresses_and_a_line_for_each_language(running: Running) -> None:
    assert f"{running.url}/" in running.printed
    for language, command in instructions.LANGUAGES.items():
        assert re.search(rf"{language} +{re.escape(command)}\n", running.printed)


def test_the_page_is_there_and_is_told_the_same(running: Running) -> None:
    assert requests.get(running.url, timeout=10).headers["Content-Type"].startswith("text/html")
    config = requests.get(f"{running.url}/page-config.json", timeout=10).json()
    assert f"  {config['export']}\n" in running.printed
    assert config["languages"] == [[*item] for item in instructions.LANGUAGES.items()]
    assert (config["links"], config["colors"]) == ([], {})


def test_its_data_is_in_a_folder_that_only_the_owner_can_read(running: Running) -> None:
    (data,) = running.folder.iterdir()
    assert (data.name, data.stat().st_mode & 0o777) == (".waybill-explorer", 0o700)


def test_help_names_the_default_ports_and_the_version_is_the_package_s(installed: Installed) -> None:
    text = installed.run("--help").stdout
    for port in ("4317", "4318", "16686"):
        assert port in text
    assert installed.run("--version").stdout.split() == ["waybill-explorer", installed.wheel.name.split("-")[1]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "0"], "TRACES_PORT: Input should be greater than 0"),
        (["trace", "xyz"], "'xyz' is not a trace id: it has 32 hex digits, not all of them 0"),
        (["trace", "1" * 32, "--url", "http://127.0.0.1:1"], "does not answer on 127.0.0.1:1: start it with"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(installed: Installed, arguments: list[str], text: str) -> None:
    ended = installed.run(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert text in ended.stderr


def test_the_readme_has_the_same_instructions() -> None:
    text = (EXPLORER / "README.md").read_text()
    assert instructions.export_command("http://127.0.0.1:4318") in text
    for language, command in instructions.LANGUAGES.items():
        code, _, comment = command.partition(" // ")
        assert f"| {language} | `{code}`" in text
        assert comment in text
