"""When the sensor has deliveries compared with GitHub's."""

import pytest

from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.sensors.delivery_repair import delivery_repair
from squire_pipelines.settings.restarts import Part
from tests.support.pipeline import Pipeline


def test_the_start_of_a_receiver_of_the_home_has_them_compared_whoever_started_it(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "s" * 40)
    quiet_pipeline.configure('[webhooks]\nrepair_schedule = "0 0 1 1 *"\n')
    first = quiet_pipeline.sensor(delivery_repair)
    assert len(first.run_requests) == 1
    again = quiet_pipeline.sensor(delivery_repair, first.cursor)
    assert "the next time has not come" in again.skip_message
    home = quiet_pipeline.settings.home
    with StatusFile(home, Part.RECEIVER) as status:
        status.write(status_of(SettingsInForce(home.config_file, home), Part.RECEIVER))
        started = quiet_pipeline.sensor(delivery_repair, first.cursor)
        assert len(started.run_requests) == 1
        assert "the next time has not come" in quiet_pipeline.sensor(delivery_repair, started.cursor).skip_message
