"""The check that a home is one machine's own: by the file system of what SQLite keeps, and by who serves it."""

import time
from collections.abc import Callable, Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.home_presence import find_other_machine, other_machine_error, this_machine
from squire_pipelines.settings.file_systems import SHARED_STEP, file_system_of, shared_databases


def check_sharing(
    context: CliContext, *, mounts: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Diagnosis]:
    """Check the file systems, and look whether another machine serves the home.

    Args:
        context: Of the command.
        mounts: The text of `/proc/self/mountinfo`, for tests.
        sleep: Waits for so many seconds.
    """
    settings, is_fine = context.settings, True
    for name, place, kind in shared_databases(settings, mounts):
        is_fine = False
        text = f"the {name} is SQLite on a file system that machines may share: {place} ({kind})"
        if settings.pipeline.allow_shared_folder:
            yield Diagnosis("sharing", "warn", text, "let no other machine use it")
        else:
            yield Diagnosis("sharing", "fail", text, SHARED_STEP)
    other = find_other_machine(settings.home.run, this_machine(), sleep=sleep)
    if other is not None:
        error = other_machine_error(settings.home.run, other)
        yield Diagnosis("sharing", "fail", error.message, error.hint)
    elif is_fine:
        disk = file_system_of(settings.home.state, mounts)
        yield Diagnosis("sharing", "ok", f"this machine alone serves the home{f', on {disk}' if disk else ''}")
