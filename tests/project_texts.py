"""The files of the project that a person reads: documents and sources, without what is installed or built."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = (".py", ".ts", ".tsx", ".css", ".html", ".yaml", ".yml", ".toml", ".ini", ".sql", ".sh", ".mako")
NOT_OURS = ("node_modules", "dist", "__pycache__", "site-packages")
HIDDEN = (".ci", ".devcontainer", ".github")


def documents() -> Iterator[Path]:
    """Yield every Markdown file."""
    return (path for path in _files(ROOT) if path.suffix == ".md")


def sources() -> Iterator[Path]:
    """Yield every source, configuration file and Makefile; not the tests, which quote what they forbid."""
    for path in _files(ROOT):
        named = path.name in ("Makefile", "Dockerfile", ".env", "run", "build")
        if (path.suffix in SOURCES or named) and "tests" not in path.relative_to(ROOT).parts:
            yield path


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name in NOT_OURS:
            continue
        if path.is_dir():
            if not path.name.startswith(".") or path.name in HIDDEN:
                yield from _files(path)
        else:
            yield path
