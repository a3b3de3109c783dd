"""The services that tests of one service run for: those of the stacks and the skeleton of new ones."""

from local.registry import ALL, start_order

TESTED = start_order(ALL)
"""Their names, each after those that it calls."""
WITH_DATABASE = tuple(name for name in TESTED if ALL[name].database)
"""The names of those that have a database."""
