"""The lock that a home's services hold: one `squire dev`, `run` or `demo` serves a home at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squire_pipelines.errors import SquireError
from squire_pipelines.files import lock
from squire_pipelines.runtime.processes import stop_orphans


class AlreadyRunningError(SquireError):
    """Another `squire dev`, `run` or `demo` serves this home."""

    code = "already_running"


@contextmanager
def home_lock(run: Path) -> Iterator[tuple[str, ...]]:
    """Lock a home's folder `run`; yield the names of what an earlier, killed holder had left running and was stopped.

    Raises:
        AlreadyRunningError: Another process holds it.
    """
    try:
        serving = lock(run / "lock")
    except TimeoutError:
        raise AlreadyRunningError(
            f"another Squire serves {run.parent}", hint="stop it first, or set SQUIRE_HOME to another folder"
        ) from None
    with serving:
        yield stop_orphans(run)
