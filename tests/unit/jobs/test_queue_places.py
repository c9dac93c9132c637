"""No more runs are put into the queue of workers than these have places for."""

from uuid import uuid4

from dagster import DagsterRun
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._utils.tags import TagConcurrencyLimitsCounter

from squire_pipelines.jobs.queue_launcher import QUEUE_TAG
from squire_pipelines.jobs.queue_places import bound_by_places


def run(queue: str) -> DagsterRun:
    return DagsterRun(job_name="agent_run", run_id=str(uuid4()), tags={QUEUE_TAG: queue})


def test_each_queue_has_as_many_runs_as_it_has_now_and_free_places() -> None:
    active = [run("agent"), run("agent"), run("keep")]
    config = RunQueueConfig(max_concurrent_runs=12, tag_concurrency_limits=[])
    waiting = {"agent", "follow", "a queue that nobody serves"}
    bounded = bound_by_places(config, active, {"agent": 1, "follow": 2, "agent+gpu": 0}, waiting)
    assert bounded.max_concurrent_runs == 6
    counter = TagConcurrencyLimitsCounter(bounded.tag_concurrency_limits, active)
    dequeued = []
    for queue in ("agent", "agent", "agent+gpu", "follow", "keep", "follow", "follow", "a queue that nobody serves"):
        if not counter.is_blocked(run(queue)):
            counter.update_counters_with_launched_item(run(queue))
            dequeued.append(queue)
    assert dequeued == ["agent", "follow", "follow"]
