"""The Wheel of Misfortune: any lab, without its name. Perhaps one of the cases in which nothing is wrong at all."""

import random

from labs import definitions, engine
from labs.attempts import Attempt
from local.settings import LocalSettings


def spin(settings: LocalSettings, seed: int | None = None, minutes: float | None = None) -> Attempt:
    """Start any lab in which something may happen. The same seed chooses the same one. Raise a ClientError."""
    chosen = random.randrange(engine.MAX_SEED) if seed is None else seed  # noqa: S311 - a puzzle, not a secret
    names = sorted(name for name, lab in definitions.labs().items() if lab.load)
    name = random.Random(f"wheel:{chosen}").choice(names)  # noqa: S311
    return engine.start(settings, name, chosen, minutes, unnamed=True)
