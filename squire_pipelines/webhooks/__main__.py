"""`python -m squire_pipelines.webhooks`: the receiver in a process of its own."""

from squire_pipelines.observability.logging import Component
from squire_pipelines.process_setup import outlive_hang_ups, set_up_process

if __name__ == "__main__":
    outlive_hang_ups()
    set_up_process(Component.WEBHOOKS)
    # After the handler: it takes seconds on a busy machine, in which somebody may have the settings read again.
    from squire_pipelines.webhooks.serve import exit_with, main

    exit_with(main())
