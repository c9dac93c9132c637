"""Dagster sensors: they decide and request runs, and nothing else; what acts on GitHub or on containers is an op."""
