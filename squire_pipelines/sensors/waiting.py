"""The pauses of a tick that waits within itself for what would otherwise wait for the daemon's next look."""

import time
from pathlib import Path

from squire_pipelines.deadline import Deadline
from squire_pipelines.health.process_records import stopping_mark
from squire_pipelines.sensors import intervals


def has_paused(deadline: Deadline, run: Path) -> bool:
    """Pause for a moment; return False at once after the deadline, and while the home's processes are being stopped.

    Args:
        deadline: Until when the tick waits.
        run: The home's folder of processes. The daemon ends after its ticks have.
    """
    if deadline.is_past or stopping_mark(run).exists():
        return False
    time.sleep(intervals.PAUSE_S)
    return True
