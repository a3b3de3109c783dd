"""A class: the board over real HTTP, learners with data folders of their own, signed results, slides, lessons."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from labs import attempts, classroom, codes, definitions, lessons, slides
from labs.attempts import Answer, Attempt
from labs.board import is_own_host
from labs.export import seeds_of
from labs.path.workspace import STEPS
from local.cli import app
from local.data_folder import locked
from local.settings import LocalSettings
from tests.project_texts import ROOT
from tests.support import processes
from tests.support.local_stack import UP, free_ports
from tests.support.waiting import until
from waybill_explorer.client import ClientError


@dataclass(frozen=True)
class Person:
    """Who has a data folder of their own."""

    settings: LocalSettings

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command of theirs; its exit status and output."""
        environment = {"WAYBILL_DATA": str(self.settings.waybill_data), "COLUMNS": "200"}
        result = CliRunner().invoke(app, ["lab", *arguments], env=environment)
        return result.exit_code, result.output

    def json(self, *arguments: str) -> Any:
        status, output = self.run(*arguments, "--json")
        assert status == 0, output
        return json.loads(output)


@pytest.fixture
def person(tmp_path: Path) -> Callable[[str], Person]:
    """Makes a person by the name of their folder."""

    def made(name: str) -> Person:
        (tmp_path / name / "labs").mkdir(parents=True)
        return Person(LocalSettings(waybill_data=tmp_path / name))

    return made


@dataclass(frozen=True)
class OpenBoard:
    """A board that serves: whose it is, its address, its join code."""

    teacher: Person
    url: str
    code: str

    def learners(self) -> dict[str, Any]:
        found = requests.get(f"{self.url}/api/class", timeout=60).json()["learners"]
        return {one["name"]: one["labs"] for one in found}


@pytest.fixture
def board(person: Callable[[str], Person], tmp_path: Path) -> Iterator[OpenBoard]:
    """A board on a free port."""
    teacher, (port,) = person("teacher"), free_ports(1)
    output = tmp_path / "board.txt"
    with output.open("w") as file:
        process = processes.start(
            [UP[0], "lab", "board", "--port", str(port), "--json"],
            env={**os.environ, "WAYBILL_DATA": str(teacher.settings.waybill_data)},
            stdout=file,
            stderr=file,
        )

    def announced() -> Any:
        assert process.poll() is None, output.read_text()
        return output.read_text().rstrip().endswith("}") and json.loads(output.read_text())

    said = until(announced)
    yield OpenBoard(teacher, said["url"], said["code"])
    process.terminate()
    process.wait(60)


def attempt_of(one: Person, lab: str = "paid-twice", **fields: Any) -> Attempt:
    """Write an attempt of someone, as the commands do."""
    attempt = Attempt(lab=lab, seed=7, started=time.time() - 600, ended=time.time(), **fields)
    attempts.save(one.settings, attempt)
    return attempt


def test_learners_join_and_the_board_shows_their_points_and_nothing_else(
    board: OpenBoard, person: Callable[[str], Person]
) -> None:
    anna, ben = person("anna"), person("ben")
    assert anna.run("join", board.url, "--as", "anna", "--code", board.code.lower())[0] == 0
    assert ben.json("join", board.url, "--as", "Ben  B.", "--code", board.code)["name"] == "Ben B."
    assert board.learners() == {"anna": {}, "Ben B.": {}}

    secret = "trace-id-or-other-answer"
    attempt = attempt_of(anna, answers={"service": Answer(value=secret, right=True, tries=3)}, hints=1)

    shown = board.learners()["anna"]["paid-twice"]
    assert (shown["score"], shown["hints"], shown["tries"], shown["minutes"]) == (attempt.score(), 1, 3, 10)
    page = requests.get(board.url, timeout=60)
    assert '<th scope="row">anna</th>' in page.text
    assert "1 hint" in page.text
    everything = page.text + requests.get(f"{board.url}/api/class", timeout=60).text
    everything += (board.teacher.settings.waybill_data / "labs" / "board.json").read_text()
    assert secret not in everything
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for file in ("board.css", "board.js"):
        assert requests.get(f"{board.url}/files/{file}", timeout=60).ok


def test_each_learner_gets_a_case_of_their_own_which_the_teacher_can_look_up(
    board: OpenBoard, person: Callable[[str], Person]
) -> None:
    places = {}
    for name in ("anna", "ben"):
        learner = person(name)
        learner.json("join", board.url, "--as", name, "--code", board.code)
        place = classroom.place(learner.settings)
        assert place
        places[name] = place
    assert places["anna"].seeds != places["ben"].seeds
    assert places["anna"].token != places["ben"].token

    (row,) = board.teacher.json("key", "anna", "--lab", "two-seconds")

    case = definitions.case(definitions.find("two-seconds"), places["anna"].seeds["two-seconds"])
    assert row["seed"] == case.seed
    assert row["what"].startswith(next(iter(case.fault)))
    assert row["fix"] == case.fix
    assert row["right"]["service"] == case.question("service").right
    assert len(board.teacher.json("key")) == 2 * len(definitions.labs())


def test_a_wrong_code_a_taken_name_and_a_foreign_token_are_refused_with_the_reason(
    board: OpenBoard, person: Callable[[str], Person]
) -> None:
    anna, other = person("anna"), person("other")
    status, output = anna.run("join", board.url, "--as", "anna", "--code", "WRONG123")
    assert status == 1
    assert "the join code is wrong: the teacher's `waybill lab board` prints it" in output
    anna.json("join", board.url, "--as", "anna", "--code", board.code)
    anna.json("join", board.url, "--as", "anna", "--code", board.code)  # the same person once more
    status, output = other.run("join", board.url, "--as", "anna", "--code", board.code)
    assert status == 1
    assert "there is already a learner 'anna': choose another name, such as anna-2" in output
    status, output = other.run("join", board.url, "--as", "<b>anna</b>", "--code", board.code)
    assert status == 1
    assert "is no name" in output

    body = {"name": "anna", **classroom.progress(Attempt(lab="paid-twice", seed=1))}
    url = f"{board.url}/api/class/progress"
    assert requests.post(url, json=body, timeout=60).status_code == 403
    place = classroom.place(anna.settings)
    assert place
    headers = {"Authorization": f"Bearer {place.token}"}
    assert requests.post(url, json={**body, "score": 101}, headers=headers, timeout=60).status_code == 400
    assert requests.post(url, json={**body, "answers": {}}, headers=headers, timeout=60).status_code == 400
    assert requests.post(url, json={**body, "name": "ben"}, headers=headers, timeout=60).status_code == 403
    assert requests.post(url, data=b"x" * 100_000, headers=headers, timeout=60).status_code == 413
    assert requests.get(board.url, headers={"Host": "evil.example"}, timeout=60).status_code == 421
    assert board.learners() == {"anna": {}}


def test_a_board_that_is_off_stops_no_learner_and_knows_all_once_it_is_back(person: Callable[[str], Person]) -> None:
    anna, (port,) = person("anna"), free_ports(1)
    place = classroom.Place(board=f"http://127.0.0.1:{port}", name="anna", token="t", seeds={"paid-twice": 42})
    (anna.settings.waybill_data / "labs" / "class.json").write_text(place.model_dump_json())

    attempt = attempt_of(anna)

    assert not classroom.send(anna.settings, attempt)
    assert attempts.all_attempts(anna.settings) == [attempt]
    assert classroom.seed_of(anna.settings, "paid-twice") == 42
    status, output = anna.run("join", place.board, "--as", "anna", "--code", "ABCDEFGH")
    assert status == 1
    assert f"the board does not answer on 127.0.0.1:{port}" in output
    assert anna.json("leave") == {"left": place.board}
    assert classroom.seed_of(anna.settings, "paid-twice") is None
    assert anna.run("leave")[0] == 1


def test_a_rehearsal_is_sent_nowhere_and_is_no_score(board: OpenBoard, person: Callable[[str], Person]) -> None:
    anna = person("anna")
    anna.json("join", board.url, "--as", "anna", "--code", board.code)
    attempt_of(anna, fixed=True, rehearsed=True)
    assert board.learners() == {"anna": {}}
    assert attempts.best(anna.settings) == {}


def test_an_address_in_use_is_named_with_what_to_do(board: OpenBoard, person: Callable[[str], Person]) -> None:
    port = board.url.rpartition(":")[2]
    status, output = person("second").run("board", "--port", port)
    assert status == 1
    assert f"127.0.0.1:{port} cannot be used (Address already in use): choose another with --port" in output


def test_a_report_is_markdown_of_the_best_attempts(person: Callable[[str], Person]) -> None:
    anna = person("anna")
    assert anna.run("report") == (
        1,
        "error: there is nothing to report yet: begin with `waybill lab start first-look`.\n",
    )
    attempt_of(anna, fixed=True, hints=1)
    attempt_of(anna)
    attempt_of(anna, "one-region", solved=True)

    status, output = anna.run("report", "--as", "anna")

    assert status == 0
    assert output.startswith("# Labs of anna\n")
    assert "| `paid-twice` |" in output
    assert "| 20 of 20 | 1 | 0 | 15 |" in output
    assert "0 (solution shown)" in output
    assert len(anna.json("report")["labs"]) == 2


def test_a_code_is_signed_for_the_class_and_whatever_is_changed_in_it_is_seen(
    board: OpenBoard, person: Callable[[str], Person]
) -> None:
    anna = person("anna")
    anna.json("join", board.url, "--as", "anna", "--code", board.code)
    attempt_of(anna, fixed=True)
    (code,) = anna.json("report")["codes"]
    assert anna.run("report", "--code") == (0, f"{code}\n")
    assert code.startswith("anna/paid-twice/7/20/0/10/")

    found = board.teacher.json("verify", code)
    assert (found["name"], found["points"], found["signed"], found["own_case"]) == ("anna", 20, True, False)
    assert "the seed 7 was chosen" in board.teacher.run("verify", code.lower().replace("anna", "anna"))[1]
    for wrong in (
        code.replace("/20/", "/95/"),
        code.replace("anna", "ben"),
        code[:-1] + ("A" if code[-1] != "A" else "B"),
    ):
        status, output = board.teacher.run("verify", wrong)
        assert status == 1
        assert "is wrong: something in it was changed or mistyped" in output
    status, output = board.teacher.run("verify", "95 points")
    assert status == 1
    assert "is no code of a result: it has the form NAME/LAB/SEED" in output
    assert person("another-teacher").run("verify", code)[0] == 1


def test_a_code_without_a_class_only_finds_typing_errors_and_says_so(person: Callable[[str], Person]) -> None:
    anna = person("anna")
    attempt_of(anna, fixed=True)
    status, output = anna.run("report", "--code")
    assert status == 1
    assert "Name yourself with --as NAME, or join a class" in output
    status, code = anna.run("report", "--code", "--as", "anna")
    assert status == 0
    status, output = person("teacher").run("verify", code.strip())
    assert status == 0
    assert "Not signed by a class" in output


def test_seeds_of_a_class_depend_on_key_name_and_lab() -> None:
    seeds = {
        codes.seed_for(key, name, lab) for key in (b"a", b"b") for name in ("anna", "ben") for lab in ("one", "two")
    }
    assert len(seeds) == 8
    assert all(0 <= seed < codes.SEEDS for seed in seeds)
    assert codes.seed_for(b"a", "anna", "one") == codes.seed_for(b"a", "anna", "one")


def test_a_host_is_the_boards_if_it_is_an_address_or_the_name_of_this_machine() -> None:
    assert all(is_own_host(host) for host in ("192.168.1.20:8095", "[::1]:8095", "localhost", "127.0.0.1"))
    assert not any(is_own_host(host) for host in ("", "rebound.example:8095", "[::1"))


def test_the_wheel_does_not_say_which_lab_it_is_until_it_has_ended(person: Callable[[str], Person]) -> None:
    one = Attempt(lab="paid-twice", seed=7, unnamed=True)
    assert one.name == "a lab of the wheel"
    assert one.model_copy(update={"ended": 1.0}).name == "paid-twice"
    anna = person("anna")
    status, output = anna.run("wheel")
    assert status == 1
    assert "no local stack runs here: start it with `make demo`" in output
    with locked(anna.settings.waybill_data):
        status, output = anna.run("start", "no-such-lab")
    assert status == 1
    assert "there is no lab 'no-such-lab'" in output


def test_the_container_stack_has_no_labs_and_the_command_says_so(
    person: Callable[[str], Person], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    listed = '{"Name": "waybill-jaeger-1", "Service": "jaeger", "State": "running", "Health": "healthy", "ExitCode": 0}'
    docker.write_text(f"#!/bin/sh\necho '{listed}'\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")

    status, output = person("anna").run("start", "paid-twice")

    assert status == 1
    assert "the container stack is up, and it has no labs yet: they run on the local stack alone" in output


@pytest.mark.parametrize("name", definitions.labs())
def test_the_slides_of_a_lab_have_its_story_and_each_part_of_its_debrief(name: str) -> None:
    lab = definitions.find(name)
    made = slides.of_lab(lab)
    assert made[0].startswith(f"# {lab.title}\n\n{lab.story}")
    assert len(made) >= 4
    told = lab.text("debrief.md").partition("\n")[2]
    assert sum(len(slide) for slide in made[1:]) > 0.9 * len(told.strip())
    assert all(slide.startswith("## ") for slide in made[1:])


def test_slides_are_one_deck_for_any_tool(person: Callable[[str], Person]) -> None:
    status, output = person("teacher").run("slides", "paid-twice", "it-waits")
    assert status == 0
    assert output.startswith("---\nmarp: true\n")
    assert (
        output.count("\n---\n\n#")
        == 1 + len(slides.of_lab(definitions.find("paid-twice"))) + len(slides.of_lab(definitions.find("it-waits"))) - 1
    )


def test_every_lesson_is_learned_somewhere_and_every_lab_and_step_has_a_lesson() -> None:
    table = {lesson.key: lesson for lesson in lessons.table()}
    assert [lesson.key for lesson in table.values() if not lesson.labs and not lesson.steps] == []
    for name, lab in definitions.labs().items():
        assert lab.lessons, name
        assert set(lab.lessons) <= table.keys(), name
    assert {step for lesson in table.values() for step in lesson.steps} == set(STEPS)


def test_the_guide_for_teachers_has_notes_for_every_lab_and_a_row_for_every_lesson() -> None:
    guide = (ROOT / "labs" / "TEACHING.md").read_text()
    assert sorted(re.findall(r"^### (\S+) \(", guide, re.MULTILINE)) == sorted(definitions.labs())
    rows = dict(line.strip("| ").split(" | ")[:2] for line in guide.splitlines() if line.startswith("| *"))
    table = lessons.table()
    assert list(rows) == [f"*{lesson.title}*" for lesson in table]
    for lesson in table:
        missing = [name for name in lesson.labs if f"`{name}`" not in rows[f"*{lesson.title}*"]]
        assert missing == [], lesson.key


@pytest.mark.parametrize(
    "name", ["board", "join", "leave", "key", "report", "verify", "slides", "lessons", "wheel", "export"]
)
def test_every_command_of_a_class_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, ["lab", name, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"waybill lab {name}" in result.output or f"root lab {name}" in result.output


def test_seeds_are_written_as_ranges() -> None:
    assert seeds_of("1,4,7-9") == [1, 4, 7, 8, 9]
    for wrong in ("", "5-2", "x", "-3"):
        with pytest.raises(ClientError, match="are no seeds: write 1-20"):
            seeds_of(wrong)
