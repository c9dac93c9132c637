"""A process that tells of alerts is killed at any moment: each thing is told of once, and repetitions are known."""

from pathlib import Path

import pytest

from tests.integration.alerting.conftest import Configure
from tests.support.alert_kills import live


@pytest.mark.slow
def test_each_outage_is_told_of_once_although_the_process_is_killed(configure: Configure, tmp_path: Path) -> None:
    configure("")
    result = live(tmp_path, kills=6, seed=1)
    assert result.kills == 6
    assert result.outages == result.alerts > 0
    assert result.wrong == {}
