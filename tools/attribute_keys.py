"""`python -m tools.attribute_keys`: write the attribute keys of the semantic conventions for the explorer's score.

They are those of the installed opentelemetry-semantic-conventions. A test fails while the file is not fresh.
"""

import pkgutil
from importlib import import_module
from pathlib import Path

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable

FILE = Path(__file__).resolve().parent.parent / "explorer" / "waybill_explorer" / "score" / "attribute_keys.txt"


def attribute_keys() -> list[str]:
    """Return every attribute key that the installed package names, stable or not, deprecated or not."""
    keys: set[str] = set()
    for package in (stable, incubating):
        for module in pkgutil.iter_modules(package.__path__):
            names = vars(import_module(f"{package.__name__}.{module.name}"))
            keys |= {key for name, key in names.items() if name.isupper() and isinstance(key, str)}
    return sorted(keys)


def main() -> None:
    """Write the file."""
    FILE.write_text("\n".join(attribute_keys()) + "\n")


if __name__ == "__main__":
    main()
