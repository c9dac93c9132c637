"""What every process of Squire does before anything else: private files, clean logs that rotate, no core dumps.

It may be done twice. Called by programs, never by libraries: the umask and the handlers of the logs belong to the whole
process.
"""

import getpass
import os
import resource
import signal
import sys
import threading

from squire_pipelines.observability.debugging import is_debugged
from squire_pipelines.observability.log_files import follow_process_log
from squire_pipelines.observability.logging import Component, configure_logging, set_debugged

PRIVATE_UMASK = 0o077
_STREAMS = ("stdin", "stdout", "stderr")  # by their descriptors


def set_up_process(component: Component) -> None:
    """Keep the files that this process creates to their owner, its logs free of secrets, and its memory off the disk.

    The processes that it starts inherit the limit on core dumps.
    """
    open_closed_streams()
    os.umask(PRIVATE_UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging(component)
    set_debugged(is_debugged)
    follow_process_log()


def open_closed_streams() -> None:
    """Have each standard stream that the process was started without read and write nothing.

    Python has None for such a stream. Its descriptor would be the next file's that is opened, into which a child would
    write its output.
    """
    for descriptor, name in enumerate(_STREAMS):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so the stream's own
        if nowhere == descriptor:
            os.set_inheritable(nowhere, True)  # noqa: FBT003 - it takes no keyword
        setattr(sys, name, os.fdopen(nowhere, "w" if descriptor else "r", encoding="utf-8"))


def leave_when_told() -> None:
    """Have SIGTERM end the process with code 0, until a server follows it in its own way.

    Death by the signal looks like a fault to supervisors, and the first process of a container would ignore it.
    """
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))


def outlive_hang_ups() -> None:
    """Have SIGHUP, by which processes are told to read their settings again, not end one that looks at them anyway.

    The programs that the process starts do not inherit this. Only in the main thread may a process change it.
    """
    is_default = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    if is_default and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda _signal, _frame: None)


def user_name() -> str:
    """Return the name of the user that this process runs as, for the records."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
