"""Has a process log its model key at its end, in every way: for tests, which put this folder on PYTHONPATH."""

import atexit
import logging
import os


def log_the_secret() -> None:
    """Log it by a logger of ours, by a library's, and in a traceback."""
    from squire_pipelines.observability.logging import Component, bound_context, get_logger  # noqa: PLC0415 - see below

    secret = os.environ["SQUIRE_MODEL_KEY"]
    library = logging.getLogger("library")
    with bound_context(trace_id="trace-of-the-test", attempt_id="attempt-of-the-test"):
        get_logger(Component.AGENT).warning("planted.ours", value=secret)
        library.warning("planted by a library: %s", secret)
        try:
            int(secret)
        except ValueError:
            library.exception("planted traceback")


# Every Python of the environment reads this file: only those that are told to, and only at their end, import anything.
if "SQUIRE_TEST_PLANT" in os.environ:
    atexit.register(log_the_secret)
