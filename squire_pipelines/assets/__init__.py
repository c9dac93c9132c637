"""Dagster assets and their checks: short scripts over the libraries."""
