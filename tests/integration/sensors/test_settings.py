"""Settings that change under Dagster: the next tick has them, and a file that is refused is named."""

from squire_pipelines.home import Home
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.sensors.settings import follow_settings
from squire_pipelines.sensors.webhooks import webhooks
from squire_pipelines.settings.restarts import Part
from tests.support.pipeline import ALL, Pipeline


def test_a_new_repository_is_known_at_the_next_tick_without_a_restart(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.tick(follow_settings)
    assert set(quiet_pipeline.instance.get_dynamic_partitions("repositories")) == set(ALL)
    quiet_pipeline.repositories = (*ALL, "demo/new")
    quiet_pipeline.configure('[collection]\ntime_zone = "Europe/Zurich"\n')
    again = quiet_pipeline.tick(follow_settings)
    assert again.skip_message == "the settings are in force"
    assert "demo/new" in quiet_pipeline.instance.get_dynamic_partitions("repositories")
    (status,) = read_statuses(Home.from_environment())
    assert (status.process, status.restart) == (Part.SENSORS, ("collection.time_zone",))
    assert quiet_pipeline.sensor(follow_settings).dynamic_partitions_requests == []


def test_a_refused_file_is_in_the_skip_message_and_the_sensors_go_on(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.tick(follow_settings)
    version = read_statuses(Home.from_environment())[0].version
    quiet_pipeline.configure("[dispatch]\nmax_concurrent = 0\n")
    refused = quiet_pipeline.tick(follow_settings)
    assert refused.runs == []
    assert f"the settings' file is refused, and the version {version} holds" in refused.skip_message
    assert "inbox holds nothing new" in quiet_pipeline.sensor(webhooks).skip_message
    (status,) = read_statuses(Home.from_environment())
    assert status.version == version
    assert "dispatch.max_concurrent" in (status.reason or "")
    quiet_pipeline.configure()
    assert quiet_pipeline.tick(follow_settings).skip_message == "the settings are in force"
