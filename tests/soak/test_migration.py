"""The migration from the old product: thousands of kills in each of its steps: `make soak`."""

import os
import random
from pathlib import Path

import pytest

from tests.support.old_homes import kill_migrations

KILLS = int(os.environ.get("SQUIRE_SOAK_KILLS", "5000"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_migrations_leave_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    report = kill_migrations(tmp_path, KILLS, SEED)
    print(f"seed {SEED}: {report.kills} kills")  # noqa: T201 - the figure
    assert report.problems == []
    assert report.kills >= KILLS
