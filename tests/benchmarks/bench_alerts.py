"""How often each thing that is wrong is told of, while the process that tells is killed at any moment.

Run: `.venv/bin/python tests/benchmarks/bench_alerts.py [KILLS]`. It ends with 1 unless each was told of once.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.alert_kills import live
from tests.support.ledgers import sqlite_ledger_file

KILLS = 200


def main(kills: int) -> int:
    """Print what the receiver counted."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SQUIRE_HOME"] = folder
        sqlite_ledger_file(Path(folder) / "ledger.sqlite")
        began = time.monotonic()
        result = live(Path(folder), kills, seed=16)
    print(f"kills                                  {result.kills} in {time.monotonic() - began:.0f} s")
    print(f"outages, alerts                        {result.outages}, {result.alerts}")
    print(f"told of not exactly once               {len(result.wrong)} {result.wrong or ''}")
    print(f"messages, repetitions with the same id {len(result.ids)}, {result.repetitions}")
    return 1 if result.wrong or result.alerts != result.outages else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS))
