"""1,000 attempts in a row with faults at random: `make soak`.

`SQUIRE_SOAK_ATTEMPTS` sets how many (1000), `SQUIRE_SOAK_SEED` repeats a sequence. About two seconds each.
"""

import os
import random
from pathlib import Path

import pytest

from tests.support.attempt_soak import faults_at_random, run_soak
from tests.support.own_engine import why_not

ATTEMPTS = int(os.environ.get("SQUIRE_SOAK_ATTEMPTS", "1000"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))


@pytest.mark.soak
@pytest.mark.docker
@pytest.mark.timeout(20 * ATTEMPTS + 300)
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_no_orphan_no_attempt_without_a_cause_and_none_with_two_containers(tmp_path: Path) -> None:
    print(f"seed {SEED}")  # noqa: T201 - to repeat it
    counted = run_soak(tmp_path, faults_at_random(ATTEMPTS, SEED), SEED)
    print(dict(counted))  # noqa: T201 - what came of it
    assert counted.total() == ATTEMPTS
