"""Fuzzing of the four services and of the local backend: generated requests, mutated exports, honest probes beside."""
