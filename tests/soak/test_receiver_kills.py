"""The receiver is killed again and again under load, on one ledger: nothing acknowledged is lost, nothing is doubled.

`SQUIRE_SOAK_RECEIVER_KILLS` sets how often (500).
"""

import os
import random
from pathlib import Path

import pytest

from tests.support.deliveries import ReceiverProcess
from tests.support.ledgers import sqlite_ledger_file
from tests.support.receiver_kills import CALLERS, deliver_and_kill, stored_once

KILLS = int(os.environ.get("SQUIRE_SOAK_RECEIVER_KILLS", "500"))
MOST = 120


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_receiver_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(17)  # noqa: S311 - moments of kills
    sqlite_ledger_file(tmp_path / "ledger.sqlite")
    acknowledged: set[str] = set()
    for number in range(KILLS):
        receiver = ReceiverProcess.start(tmp_path, SQUIRE_LOGGING__LEVEL="error")
        try:
            acknowledged |= deliver_and_kill(receiver, name=f"k{number}", after=chance.randrange(1, MOST))
        finally:
            receiver.end()
    stored = stored_once(tmp_path / "ledger.sqlite")
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + CALLERS * KILLS
