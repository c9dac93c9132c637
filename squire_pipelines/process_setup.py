"""What every process of Squire does before anything else: private files, clean logs, no core dumps; also twice.

Called by programs, never by libraries: the umask and the handlers of the logs belong to the whole process.
"""

import os
import resource

from squire_pipelines.observability.logging import Component, configure_logging

PRIVATE_UMASK = 0o077


def set_up_process(component: Component) -> None:
    """Keep the files that this process creates to their owner, its logs free of secrets, and its memory off the disk.

    The processes that it starts inherit the limit on core dumps.
    """
    os.umask(PRIVATE_UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging(component)
