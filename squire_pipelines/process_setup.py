"""What every process of Squire does before anything else: private files and clean logs. It can be done twice.

Called by programs, never by libraries: the umask and the handlers of the logs belong to the whole process.
"""

import os

from squire_pipelines.observability.logging import Component, configure_logging

PRIVATE_UMASK = 0o077


def set_up_process(component: Component) -> None:
    """Keep the files that this process creates to their owner, and its logs free of secrets."""
    os.umask(PRIVATE_UMASK)
    configure_logging(component)
