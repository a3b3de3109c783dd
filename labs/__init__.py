"""Faults to switch on, and graded labs to practice on. Nothing outside of this folder imports it; it can be removed."""
