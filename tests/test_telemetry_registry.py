"""The declarations of telemetry are a registry that Weaver can read, bounded, and everything generated is fresh."""

import ast
import re
from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pkgutil import iter_modules

import pytest
import yaml
from opentelemetry.semconv import attributes as stable
from opentelemetry.semconv._incubating import attributes as incubating
from opentelemetry.semconv.schemas import Schemas

from local import telemetry_files
from local.registry import ALL
from local.settings import ROOT
from local.telemetry_registry import KIT, AttributeGroup, Group, Metric, Registry, Span, parse, path, read
from services.order.models import Reason, Status, Step
from services.payment.processor import Outcome

REGISTRY = read(ALL)
FILES = telemetry_files.files(REGISTRY, ALL)
PLAIN_LABELS = {"status", "region"}
"""The attributes of orders.* whose names were promised without a prefix."""
PAYMENT = path("payment")
TEXT = (ROOT / PAYMENT).read_text()


@pytest.mark.parametrize("file", FILES)
def test_a_generated_file_is_fresh(file: str) -> None:
    assert (ROOT / file).read_text() == FILES[file], "run `make generate`"


def test_the_folder_is_a_registry_of_weaver_with_no_other_yaml() -> None:
    """Weaver takes every YAML file below the manifest for one of the registry."""
    manifest = yaml.safe_load((ROOT / "services/manifest.yaml").read_text())
    assert manifest.keys() == {"file_format", "schema_url", "description", "stability", "dependencies"}
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "services").rglob("*.y*ml")}
    assert found == {"services/manifest.yaml", *map(path, (KIT, *ALL))}


def test_the_registry_depends_on_the_conventions_that_are_installed() -> None:
    (dependency,) = yaml.safe_load((ROOT / "services/manifest.yaml").read_text())["dependencies"]
    latest = [*Schemas][-1].value
    assert dependency["schema_url"] == latest
    assert f"/v{latest.rpartition('/')[2]}.zip[model]" in dependency["registry_path"]


def conventions() -> set[str]:
    """Return the names of all attributes of OpenTelemetry's conventions."""
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for package in (stable, incubating)
        for module in iter_modules(package.__path__)
    ]
    return {value for module in modules for value in vars(module).values() if isinstance(value, str)}


def test_what_no_file_defines_is_an_attribute_of_the_conventions_and_what_one_defines_is_none() -> None:
    known = conventions()
    for group in REGISTRY.groups(Group):
        for attribute in REGISTRY.attributes(group):
            assert (attribute.name in known) == (attribute.type is None), attribute.name


@pytest.mark.parametrize("service", ALL)
def test_names_belong_to_the_domain_of_their_service_and_briefs_are_sentences(service: str) -> None:
    for group in REGISTRY.groups(AttributeGroup, service):
        for attribute in group.attributes:
            assert (attribute.id or "").startswith(f"{service}.") or attribute.id in PLAIN_LABELS
            assert attribute.brief.endswith("."), attribute.brief
    for metric in REGISTRY.groups(Metric, service):
        assert metric.metric_name.startswith((f"{service}.", f"{service}s."))
        assert metric.annotations.variable
    for each in REGISTRY.groups(Group, service):
        assert re.fullmatch(rf"(registry|span|metric|event)\.{service}s?(\..+)?", each.id)
        assert each.brief.endswith("."), each.brief


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("order.status", Status),
        ("order.cancel_reason", Reason),
        ("order.dead_letter_step", Step),
    ],
)
def test_the_values_of_an_attribute_are_those_of_the_code(attribute: str, values: type[StrEnum]) -> None:
    assert members(attribute) == set(values)


def test_every_outcome_of_the_card_processor_is_a_member() -> None:
    assert set(Outcome) < members("payment.outcome")


def members(name: str) -> set[str | int]:
    groups = REGISTRY.groups(AttributeGroup)
    found = next(each for group in groups for each in REGISTRY.attributes(group) if each.name == name)
    return {member.value for member in found.members}


def test_each_step_of_an_order_has_a_span() -> None:
    assert set(Step) < {span.name for span in REGISTRY.groups(Span, "order")}


def registry(text: str) -> Registry:
    return read(ALL, {PAYMENT: text})


def with_label(name: str) -> Callable[[str], str]:
    """Return what gives payment.charges one attribute more."""
    label = "      - {ref: payment.outcome, requirement_level: required}\n    annotations: {variable: charges"
    return lambda text: text.replace(label, f"      - {{ref: {name}, requirement_level: required}}\n{label}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_label("order.id"), r"metric\.payment\.charges: order\.id is unbounded"),
        (with_label("url.path"), r"metric\.payment\.charges: url\.path is unbounded"),
        (with_label("payment.currency"), r"metric\.payment\.charges: payment\.currency is unbounded"),
        (with_label("order.region"), r"metric\.payment\.charges: 15 series are possible, max_series is 5"),
        (with_label("payment.color"), r"metric\.payment\.charges: no file defines or describes payment\.color"),
        (
            lambda text: text.replace(", max_series: 5", "", 1),
            r"metric\.payment\.charges\.\S*max_series: Field required",
        ),
        (lambda text: text.replace("max_series: 5", "max_series: 5000", 1), "less than or equal to 2000"),
        (lambda text: text.replace("instrument: counter", "instrument: summary", 1), r"charges\.instrument"),
        (lambda text: text.replace("span_kind: client", "span_kind: inside", 1), r"authorize_card\.span_kind"),
        (lambda text: text.replace("      question: How", "      ask: How", 1), r"authorize_card\.annotations"),
        (lambda text: text.replace("        examples: [EUR]\n", ""), r"payment\.currency needs examples"),
        (
            lambda text: text.replace("id: payment.amount", "id: order.total"),
            r"attribute order\.total is declared 2 times",
        ),
        (lambda text: text.replace("metric.payment.refunds", "metric.payment.charges"), "declared 2 times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_or_unbounded_declaration_is_refused_by_name(change: Callable[[str], str], said: str) -> None:
    text = change(TEXT)
    assert text != TEXT
    with pytest.raises(ValueError, match=said):
        registry(text)


def test_a_service_without_a_declaration_is_named() -> None:
    with pytest.raises(ValueError, match=r"services/shipping/telemetry\.yaml does not exist"):
        read([*ALL, "shipping"])


def test_long_texts_are_wrapped_in_generated_code() -> None:
    brief = "brief: Responses of the card processor to charges."
    long = 'Responses of the "simulated" card processor to charges, or none ' * 3 + "."
    module = telemetry_files.module(registry(TEXT.replace(brief, f"brief: {long}")), "payment")
    assert max(map(len, module.splitlines())) <= 120
    texts = [node.value for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Constant)]
    assert long.replace(" .", " , by payment.outcome.") in texts


def test_a_file_that_is_not_of_the_schema_is_refused() -> None:
    span = "groups: [{id: span.x.y, type: span, span_kind: internal, brief: X., annotations: {question: 'Y?'}}]"
    for text, said in (
        (span, r"services/x\.yaml: span\.x\.y\.stability: Field required"),
        ("attributes: []", r"services/x\.yaml: groups: Field required"),
        ("groups: [", r"services/x\.yaml is no YAML"),
        ("", "Input should be a valid dictionary"),
    ):
        with pytest.raises(ValueError, match=said):
            parse(text, "services/x.yaml")
