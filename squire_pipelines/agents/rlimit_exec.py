"""Sets the limits given as arguments and then becomes the program that follows. Run as a script, with -I.

`rlimit_exec.py FSIZE_BYTES OPEN_FILES CPU_S PROGRAM ARGUMENT…`. Limits are set here, in the child, because setting them
between fork and exec is not safe in a process with threads.
"""

import os
import resource
import sys


def main(arguments: list[str]) -> None:
    """Lower the limits, never above what is permitted, and execute."""
    size, files, cpu = (int(text) for text in arguments[:3])
    for kind, value in (
        (resource.RLIMIT_FSIZE, size),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
    os.execv(arguments[3], arguments[3:])  # noqa: S606 - the program is the caller's


if __name__ == "__main__":
    main(sys.argv[1:])
