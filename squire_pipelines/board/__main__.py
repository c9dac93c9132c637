"""`python -m squire_pipelines.board`: the board in a process of its own."""

import sys

from squire_pipelines.observability.logging import Component
from squire_pipelines.process_setup import leave_when_told, outlive_hang_ups, set_up_process

if __name__ == "__main__":
    leave_when_told()
    outlive_hang_ups()
    set_up_process(Component.BOARD)
    # After the handlers: it takes seconds on a busy machine, in which signals come too.
    from squire_pipelines.board.board_server import main

    sys.exit(main())
