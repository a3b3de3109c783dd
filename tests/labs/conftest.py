"""The tests of the labs, a folder that can be removed; without it there is nothing to test."""

from tests.project_texts import ROOT

collect_ignore_glob = [] if (ROOT / "labs" / "cli.py").exists() else ["test_*.py"]
