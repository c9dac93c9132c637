"""The demo on a machine on which others compute without pause: `make soak`. It ends later, and as well as ever."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.demos import StartDemo, check_what_it_left
from tests.support.steady_load import busy_loops

LOOPS = int(os.environ.get("SQUIRE_SOAK_LOOPS", "20"))
WITHIN_S = 3000.0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_demo_passes_beside_busy_loops_and_nothing_is_lost(start_demo: StartDemo, tmp_path: Path) -> None:
    with busy_loops(LOOPS):
        demo = start_demo()
        demo.ends(0, within_s=WITHIN_S)
    check_what_it_left(demo, tmp_path)
    with closing(sqlite3.connect(f"file:{demo.home / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        causes = {row[0] for row in ledger.execute("SELECT DISTINCT cause FROM attempts")}
    assert causes <= {"completed", "no_changes"}
