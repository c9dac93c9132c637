"""How often the beginning and the end of each outage are sent, while the process that sends is killed at any moment.

`make bench-alerts`; `SQUIRE_BENCH_KILLS` sets how often it is killed (200, five minutes).
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.alert_kills import Kills, live
from tests.support.figures import Figure, report
from tests.support.ledgers import sqlite_ledger_file

KILLS = int(os.environ.get("SQUIRE_BENCH_KILLS", "200"))


def measure() -> Kills:
    """Let things fail and come back beside the kills, and return what the receiver counted."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite_ledger_file(Path(folder) / "ledger.sqlite")
        return live(Path(folder), KILLS, seed=16)


def main() -> int:
    """Print the table."""
    kills = measure()
    figures = [
        Figure("kills", kills.kills, "", KILLS, at_least=True),
        Figure("outages", kills.outages, "", 1, at_least=True),
        Figure("alerts that are too many or too few", abs(kills.alerts - kills.outages), "", 0),
        Figure("beginnings and ends that came other than once", len(kills.wrong), "", 0),
        Figure("messages", len(kills.ids), ""),
        Figure("messages that came again with their id", kills.repetitions, ""),
    ]
    return report("alerts", figures)


if __name__ == "__main__":
    sys.exit(main())
