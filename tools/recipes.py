"""`python -m tools.recipes`: write the code of each recipe into its page, between two comments that name the file.

The code is a file of its own, so that it is formatted, typed, run and tested as any other, and its page shows it whole.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "recipes"
LANGUAGES = {".py": "python", ".yaml": "yaml"}


def pages() -> list[Path]:
    """Return the page of each recipe."""
    return sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")


def code_files() -> list[Path]:
    """Return the code of all recipes."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in LANGUAGES)


def shown(text: str) -> list[str]:
    """Return the names of the files that a page shows."""
    return re.findall(r"^<!-- ([\w.-]+): begin", text, re.MULTILINE)


def fresh(page: Path) -> str:
    """Return the page with the code of its files as it is now."""

    def block(match: re.Match[str]) -> str:
        file = FOLDER / match[2]
        return f"{match[1]}\n```{LANGUAGES[file.suffix]}\n{file.read_text()}```\n\n{match[3]}"

    pattern = re.compile(r"^(<!-- ([\w.-]+): begin[^\n]*\n).*?^(<!-- \2: end -->)", re.MULTILINE | re.DOTALL)
    return pattern.sub(block, page.read_text())


def main() -> None:
    """Write every page that is not fresh and print its name."""
    for page in pages():
        renewed = fresh(page)
        if renewed != page.read_text():
            page.write_text(renewed)
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
