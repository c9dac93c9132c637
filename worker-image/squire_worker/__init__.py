"""The parts of the worker's entrypoint. Standard library only, Python 3.9 and later; nothing of the host's package."""
