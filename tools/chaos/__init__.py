"""Chaos for the saga: faults, load under them, and a checker that reads only the books."""
