"""Every lab of the catalog is complete, and its patches are code."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labs import definitions, predicates, releases
from labs.definitions import Case
from labs.expected import NUMBERS, OWN_NUMBERS, OWN_WORDS, WORDS
from local.settings import ROOT, LocalSettings
from tests.labs.test_faults import GIVEAWAY
from waybill_explorer.client import ClientError

SEEDS = range(12)


def cases() -> Iterator[Case]:
    """Yield what the first seeds make of each lab."""
    for lab in definitions.labs().values():
        yield from (definitions.case(lab, seed) for seed in SEEDS)


def patches() -> dict[str, str]:
    """Return the text of each patch as some seed makes it, by lab and file."""
    return {
        f"{case.lab.name}/{case.fault['release']['patch']}": definitions.patch_of(case, case.fault["release"]["patch"])
        for case in cases()
        if "release" in case.fault
    }


@pytest.mark.parametrize("name", definitions.labs())
def test_a_lab_has_a_story_three_hints_and_a_debrief_in_the_form_of_a_post_mortem(name: str) -> None:
    lab = definitions.find(name)
    assert lab.text("lab.md").startswith("# ")
    assert len(lab.hints()) == 3
    debrief = lab.text("debrief.md")
    for section in ("**What ", "**How it is found.**", "**How it is found faster.**", "**What in the kit helps.**"):
        assert section in debrief or (name == "lost-thread" and "kit" in section)


@pytest.mark.parametrize("name", definitions.labs())
def test_a_lab_has_questions_of_the_parts_and_a_plausible_wrong_answer(name: str) -> None:
    lab = definitions.find(name)
    parts = {question.part for question in lab.questions}
    assert {"locate", "explain", "prove"} <= parts
    keys = [question.key for question in lab.questions]
    assert len(set(keys)) == len(keys)
    assert lab.rehearsal
    assert set(lab.rehearsal) <= set(keys)


def test_each_question_of_each_case_can_be_judged_and_says_what_a_wrong_answer_overlooks() -> None:
    known = {**NUMBERS, **OWN_NUMBERS, **WORDS, **OWN_WORDS}
    for case in cases():
        for question in case.questions:
            where = f"{case.lab.name} {case.seed} {question.key}"
            texts = [question.right, *map(str, question.arguments.values()), *map(str, question.other.values())]
            assert not [text for text in texts if re.search(r"\{\w+\}", text)], where
            if question.kind == "choice":
                assert question.right in question.choices, where
                overlooked = set(question.choices) - {question.right} - set(question.why)
                assert question.wrong or not overlooked, where
            if question.kind in ("number", "text"):
                assert question.expect in known or question.right, where
            if question.kind in ("span", "two-spans"):
                assert question.predicate in predicates.PREDICATES, where
            if question.kind not in ("choice", "order"):
                assert question.wrong, where
            assert case.wrong.get(question.key, "") != (question.right or None), where


def test_a_seed_always_makes_the_same_and_seeds_differ() -> None:
    for lab in definitions.labs().values():
        made = [definitions.case(lab, seed) for seed in SEEDS]
        assert made == [definitions.case(lab, seed) for seed in SEEDS]
        assert len({str((case.values, case.fault)) for case in made}) > 1, lab.name


def test_on_some_days_other_services_change_too_and_never_one_that_has_to_do_with_the_case() -> None:
    others = {(case.lab.name, case.seed): case.others for case in cases()}
    assert others == {(case.lab.name, case.seed): case.others for case in cases()}
    for case in cases():
        involved = {fields.get("service") for fields in case.fault.values()}
        assert not involved & {service for _, service in case.others}
        if not case.lab.load:
            assert not case.others
    made = [change for found in others.values() for change in found]
    assert {kind for kind, _ in made} == {"release", "setting"}
    assert {service for _, service in made} == {"order", "inventory", "payment", "notification"}
    assert {len(found) for found in others.values()} == {0, 1, 2}


def test_every_variant_of_a_lab_is_some_seeds_case() -> None:
    for lab in definitions.labs().values():
        faults = {str(sorted(case.fault)) + case.fix for case in (definitions.case(lab, seed) for seed in range(200))}
        assert len(faults) == len({str(sorted(variant.fault)) + str(variant.fix) for variant in lab.variants}), lab.name


def test_orders_are_fine_in_one_case_of_two_seconds_and_nothing_is_to_be_repaired() -> None:
    lab = definitions.find("two-seconds")
    found = [definitions.case(lab, seed) for seed in range(60)]
    causes = {case.question("cause").right for case in found}
    assert causes == {"network", "card-processor", "cache", "database", "nothing"}
    (fine, *_) = [case for case in found if case.question("cause").right == "nothing"]
    assert fine.fault == {}
    assert fine.fixes == ()
    assert fine.question("service").right == "none"


def test_a_name_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ClientError, match=r"there is no lab 'x'. Choose one of .*paid-twice"):
        definitions.find("x")


@pytest.fixture(scope="module")
def type_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the libraries and of the code without a patch, if it was run here before."""
    cache = tmp_path_factory.mktemp("mypy") / "cache"
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    return cache


@pytest.mark.parametrize("name", patches())
def test_a_patch_applies_and_is_typed(name: str, tmp_path: Path, type_cache: Path) -> None:
    settings = LocalSettings(waybill_data=tmp_path)
    release = releases.build(settings, "order", patches()[name])

    assert release.version != releases.base_version()
    changed = re.findall(r"^\+\+\+ b/(\S+)", patches()[name], re.MULTILINE)
    assert changed
    assert len(re.findall(r"^[+-](?![+-]{2} )", patches()[name], re.MULTILINE)) < 15, "no one reads a longer one"
    for file in changed:
        assert (release.folder / file).read_text() != (ROOT / file).read_text()
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(type_cache)]
    modules = [argument for file in changed for argument in ("-m", file.removesuffix(".py").replace("/", "."))]
    result = subprocess.run([*mypy, *modules], cwd=release.folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_releases_are_numbered_and_a_patch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    settings = LocalSettings(waybill_data=tmp_path)
    text = next(iter(patches().values()))
    first = releases.build(settings, "order", text)
    second = releases.rebuild(settings, first)
    assert (first.folder.name, second.folder.name) == ("release-1", "release-2")
    assert second.version > first.version
    with pytest.raises(ClientError, match="the patch does not fit the code"):
        releases.apply(first.folder, text)


def test_nothing_that_reaches_telemetry_gives_a_lab_away() -> None:
    texts = {
        **patches(),
        **{
            str(path): path.read_text()
            for path in (ROOT / "labs" / "neighbors").glob("*.py")
            if path.stem != "__init__"
        },
    }
    found = [name for name, text in texts.items() if GIVEAWAY.search(re.sub(r"default\w*", "", text))]
    assert found == []


def test_the_services_and_the_kit_have_no_code_for_faults() -> None:
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    assert len(files) > 50
    assert [str(file) for file in files if re.search(r"\blabs\b|chaos|inject_fault", file.read_text())] == []


def test_the_page_of_the_labs_lists_each_of_them_with_its_minutes() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \|", (ROOT / "labs" / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((name, str(lab.minutes)) for name, lab in definitions.labs().items())
