"""Tests of the lean SDK, against the official one."""
