"""Fuzzing of the four services and of the explorer: generated requests, mutated exports, honest probes beside."""
