"""Runs on several machines: the broker that carries them, and the life of a worker that takes them. No Dagster."""
