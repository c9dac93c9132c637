"""Dagster jobs and ops: short scripts over the libraries."""
