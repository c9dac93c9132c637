"""`python -m squire_pipelines.webhooks`: the receiver in a process of its own."""

from squire_pipelines.observability.logging import Component
from squire_pipelines.process_setup import set_up_process
from squire_pipelines.webhooks.serve import exit_with, main

if __name__ == "__main__":
    set_up_process(Component.WEBHOOKS)
    exit_with(main())
