"""`python -m squire_pipelines.webhooks`: the receiver in a process of its own."""

from squire_pipelines.observability.logging import Component
from squire_pipelines.process_setup import leave_when_told, outlive_hang_ups, set_up_process

if __name__ == "__main__":
    leave_when_told()
    outlive_hang_ups()
    set_up_process(Component.WEBHOOKS)
    # After the handlers: it takes seconds on a busy machine, in which signals come too.
    from squire_pipelines.webhooks.serve import exit_with, main

    exit_with(main())
