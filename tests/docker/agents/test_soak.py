"""The short version of the attempts' soak: every fault once. `make soak` has the long one."""

from pathlib import Path

import pytest

from tests.support.attempt_soak import FAULTS, run_soak
from tests.support.own_engine import why_not


@pytest.mark.docker
@pytest.mark.timeout(400)
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_whatever_happens_each_attempt_has_one_cause_and_one_container_and_leaves_nothing(tmp_path: Path) -> None:
    counted = run_soak(tmp_path, len(FAULTS), seed=7, each_once=True)
    assert counted.total() == len(FAULTS)
