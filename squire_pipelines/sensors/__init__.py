"""Dagster sensors: what starts runs, and what mends what crashed."""
