"""Settings that change under Dagster: the next tick has them, and a file that is refused is told of once."""

import json

from squire_pipelines.home import Home
from squire_pipelines.reloading.process_status import read_statuses
from squire_pipelines.sensors.settings import follow_settings
from squire_pipelines.sensors.webhooks import webhooks
from squire_pipelines.settings.restarts import Part
from tests.support.pipeline import ALL, Pipeline
from tests.support.provider import plain, serve_upstream


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


def test_a_refused_file_is_told_of_once_and_the_sensors_go_on(quiet_pipeline: Pipeline) -> None:
    with serve_upstream() as hook:
        hook.answer = plain(200, {})
        quiet_pipeline.configure(f'[alerts]\nwebhook_url = "{hook.url}/alert?token=abc123"\n')
        first = quiet_pipeline.tick(follow_settings)
        version = read_statuses(Home.from_environment())[0].version
        quiet_pipeline.configure("[dispatch]\nmax_concurrent = 0\n")
        refused = quiet_pipeline.tick(follow_settings, cursor=first.cursor)
        assert refused.metadata["delivered"] is True
        assert "inbox holds nothing new" in quiet_pipeline.sensor(webhooks).skip_message
        again = quiet_pipeline.tick(follow_settings, cursor=refused.cursor)
        assert (again.runs, again.skip_message) == ([], "a refused file was told of")
        (event,) = [json.loads(seen.body) for seen in hook.seen]
    assert (event["event"], event["version_in_force"]) == ("settings.refused", version)
    assert "dispatch.max_concurrent" in event["reason"]
    (status,) = read_statuses(Home.from_environment())
    assert (status.version, status.reason) == (version, event["reason"])
    quiet_pipeline.configure()
    assert quiet_pipeline.tick(follow_settings, cursor=again.cursor).skip_message == "the settings are in force"
