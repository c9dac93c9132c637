"""`python -m squire_pipelines.endpoint`: the operator's endpoint in a process of its own, which waits for its port."""

import sys

from squire_pipelines.endpoint.operator_server import main
from squire_pipelines.observability.logging import Component
from squire_pipelines.process_setup import set_up_process

if __name__ == "__main__":
    set_up_process(Component.ENDPOINT)
    sys.exit(main(waits_for_port=True))
