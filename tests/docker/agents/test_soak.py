"""The short version of the attempts' soak: each fault from outside once. `make soak` has the long one, with all faults.

What an agent does by itself, such as to need too much memory, `test_docker_runner` has.
"""

from pathlib import Path

import pytest

from tests.support.attempt_soak import FAULTS, run_soak
from tests.support.own_engine import why_not


@pytest.mark.docker
@pytest.mark.timeout(400)
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_whatever_happens_each_attempt_has_one_cause_and_one_container_and_leaves_nothing(tmp_path: Path) -> None:
    from_outside = [name for name, fault in FAULTS.items() if fault.happens]
    counted = run_soak(tmp_path, from_outside, seed=7)
    assert counted.total() == len(from_outside) == 4
