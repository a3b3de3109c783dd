"""The files of a service project of its own: those that run in this repository with other names, and a few more.

`rules.py` says what is taken and what is different in it. `project/` has what exists only in projects. It needs no
package but jinja2, which copier has.
"""

import ast
import keyword
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from template.rules import (
    ANYWHERE,
    CODE_OF_CALLS,
    FILES,
    FILES_OF_CALLS,
    LEFT_OUT,
    OPTIONS,
    RENAMED,
    SKELETON,
    TREES,
    Rule,
)

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("migrations", "tests", "tools", "vendor")
"""Of a project, beside its package."""


def render(answers: Mapping[str, Any], root: Path = ROOT) -> dict[str, str]:
    """Return the text of each file of the project by its path; `answers` are those to copier.yml.

    Raise ValueError for a name that cannot be a package, and for a rule that no longer matches its file.
    """
    project = Project(answers, root)
    project.check_name()
    files = dict(project.written()) | dict(project.living())
    unwanted = [".github/"] * (not answers["ci"]) + ["LICENSE"] * (answers["license"] == "proprietary")
    return {path: text for path, text in sorted(files.items()) if not path.startswith(tuple(unwanted))}


class Project:
    """A project by its answers, and what its templates can take from the files of this repository."""

    def __init__(self, answers: Mapping[str, Any], root: Path = ROOT) -> None:
        self.root = root
        self.answers = {**answers, "package": answers["name"].replace("-", "_")}
        self.options = [each for each in OPTIONS if answers.get(each) or each == answers["database"]]

    def check_name(self) -> None:
        """Raise ValueError if the package would hide another one, or cannot be imported."""
        package = self.answers["package"]
        installed = {name.replace("-", "_") for name in locked(self.root)}
        if package in {*sys.stdlib_module_names, *keyword.kwlist, *installed, *FOLDERS, "google", "grpc"}:
            raise ValueError(f"{package} is the name of something else in Python or in the project. Use another name.")

    def living(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of the files that run in this repository."""
        for name, target in self.sources().items():
            if not (SKELETON in name and name.endswith(FILES_OF_CALLS)):
                yield target, self.copied(name)
        license_path = (
            "LICENSE" if self.answers["license"] == "Apache-2.0" else f"{self.answers['package']}/kit/LICENSE"
        )
        yield license_path, self.text("LICENSE")

    def sources(self) -> dict[str, str]:
        """Return the path of each file that is copied, and its path in the project."""
        found = {}
        for folder, target in TREES.items():
            for path in sorted((self.root / folder).rglob("*")):
                name = str(path.relative_to(self.root))
                if path.suffix in (".py", ".md") and name not in LEFT_OUT:
                    found[name] = f"{self.fill(target)}/{path.relative_to(self.root / folder)}"
        return {name: RENAMED.get(name, name) for name in FILES} | found

    def copied(self, name: str) -> str:
        """Return a file of this repository as it is in the project. Raise ValueError if a rule does not match."""
        text = self.without_calls(name, self.text(name))
        for rules in (*(OPTIONS[option].get(name, ()) for option in self.options), FILES.get(name, ())):
            text = self.edited(name, text, rules)
        return self.renamed(text)

    def without_calls(self, name: str, text: str) -> str:
        """Return a file of the skeleton without what calls another service."""
        if SKELETON not in name:
            return text
        for code in CODE_OF_CALLS:
            text = text.replace(code, "")
        (called,) = tomllib.loads(self.text("services.toml"))[SKELETON]["calls"]
        modules = "|".join(file.removesuffix(".py") for file in FILES_OF_CALLS)
        left_out = re.compile(rf"from \w+\.{SKELETON}\.({modules}) import|.*{called}", re.IGNORECASE)
        text = "".join(line for line in text.splitlines(keepends=True) if not left_out.match(line))
        return text if name.endswith(".py") else re.sub(r"\n{3,}", "\n\n", text)

    def edited(self, name: str, text: str, rules: Iterable[Rule]) -> str:
        """Return the text after `rules`. Raise ValueError if one does not match."""
        for pattern, replacement in rules:
            text, found = re.subn(pattern, self.fill(replacement), text, flags=re.MULTILINE)
            if not found:
                raise ValueError(f"{name}: nothing matches {pattern!r}. Adapt the rule in template/rules.py.")
        return text

    def renamed(self, text: str) -> str:
        """Return a text with the names of the project."""
        for pattern, replacement in ANYWHERE:
            text = re.sub(pattern, self.fill(replacement), text, flags=re.MULTILINE)
        return text

    def fill(self, text: str) -> str:
        """Put the name, package and port of the project in their places."""
        return re.sub(r"\{(name|package|port)\}", lambda match: str(self.answers[match[1]]), text)

    def text(self, name: str) -> str:
        """Return a file of this repository."""
        return (self.root / name).read_text()

    def written(self) -> Iterator[tuple[str, str]]:
        """Yield path and text of the files of `project/`, without those that are empty with these answers."""
        folder = self.root / "template" / "project"
        environment = Environment(  # noqa: S701 - none of it is HTML
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        helpers = (self.copied, self.imports, self.definitions, self.block, self.between, self.requirements)
        environment.globals |= {helper.__name__: helper for helper in (*helpers, self.line, self.image)}
        environment.globals |= {**self.answers, "postgresql": self.answers["database"] == "postgresql"}
        environment.globals["explorer_wheel"] = explorer_wheel(self.root)
        for path in sorted(folder.rglob("*.jinja")):
            name = str(path.relative_to(folder))
            if (text := environment.get_template(name).render()).strip():
                yield self.fill(name.replace("PACKAGE", "{package}")).removesuffix(".jinja"), text

    def imports(self, name: str) -> str:
        """Return the imports of a Python file, without those of services and their tools; ruff removes the unused."""
        lines = self.text(name).splitlines()
        nodes = (node for node in ast.parse(self.text(name)).body if isinstance(node, ast.Import | ast.ImportFrom))
        found = ("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes)
        return self.renamed("\n".join(each for each in found if not re.match(r"from (services|local)\b", each)))

    def definitions(self, name: str, *wanted: str) -> str:
        """Return functions and classes of a Python file, in the order of `wanted`."""
        lines, found = self.text(name).splitlines(), {}
        for node in ast.parse(self.text(name)).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
        if missing := [each for each in wanted if each not in found]:
            raise ValueError(f"{name}: there is no {', '.join(missing)}. Adapt template/project.")
        return self.renamed("\n\n\n".join(found[each] for each in wanted))

    def block(self, name: str, key: str, after: str = "", without: str | None = None) -> str:
        """Return the first block `key:` of a YAML file behind the line `after`, without lines that contain `without`.

        The block is what is indented under the key, and the comment above it. A `key` with spaces before it is
        indented by as many.
        """
        text = self.text(name)
        text = text.partition(f"\n{after}\n")[2] if after else text
        indent = re.match(" +", key)
        block = rf"({indent[0] if indent else ' *'}){re.escape(key.strip())}:.*\n(?:\1 +.*\n|\n(?=\1 ))*"
        match = re.search(rf"^(?: *#.*\n)*{block}", text, re.MULTILINE)
        if not match:
            raise ValueError(f"{name}: there is no {key!r}. Adapt template/project.")
        return self.renamed(_without(match[0], without)).rstrip("\n")

    def between(self, name: str, start: str, end: str | None, without: str | None = None) -> str:
        """Return a file from the text `start` up to and including `end`, or to the end of the file."""
        text = self.text(name)
        at = text.find(start)
        stop = text.find(end, at) if end else len(text)
        if at < 0 or stop < 0:
            raise ValueError(f"{name}: there is no {start!r}, or no {end!r} after it. Adapt template/project.")
        return self.renamed(_without(text[at : stop + len(end or "")], without)).rstrip("\n")

    def line(self, name: str, start: str) -> str:
        """Return the first line that begins with `start`."""
        return self.between(name, start, "\n")

    def requirements(self, *packages: str) -> str:
        """Return the lines of the test group of pyproject.toml that name `packages`, with the comments above them."""
        lines, comment = [], ""
        for line in self.between("pyproject.toml", "\ntest = [\n", "\n]\n").splitlines()[2:-1]:
            if line.lstrip().startswith("#"):
                comment = f"{line}\n"
                continue
            if re.split(r"[^\w-]", line.strip().strip('",'))[0] in packages:
                lines.append(f"{comment}{line}\n")
            comment = ""
        return "".join(lines).rstrip("\n")

    def image(self, name: str) -> str:
        """Return the image of docker-compose.yml with this name, and its version."""
        match = re.search(rf"\S+/{name}:\S+", self.text("docker-compose.yml"))
        if not match:
            raise ValueError(f"docker-compose.yml: there is no image {name}. Adapt template/project.")
        return match[0]


def explorer_wheel(root: Path = ROOT) -> str:
    """Return the path of the explorer's wheel in a project."""
    version = tomllib.loads((root / "explorer" / "pyproject.toml").read_text())["project"]["version"]
    return f"vendor/waybill_explorer-{version}-py3-none-any.whl"


@cache
def locked(root: Path = ROOT) -> dict[str, str]:
    """Return the version of each package in uv.lock by its name."""
    lock = tomllib.loads((root / "uv.lock").read_text())
    return {entry["name"]: entry["version"] for entry in lock["package"] if "version" in entry}


def _without(text: str, part: str | None) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if part is None or part not in line)
