"""Which queue a run waits in, and which workers serve it."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain import worker_rules as rules
from squire_pipelines.domain.worker_rules import WorkerPlaces, WorkKind

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def test_a_job_that_no_kind_names_stays_on_the_stewards_machine() -> None:
    assert rules.kind_of("agent_run") is WorkKind.AGENT
    assert rules.kind_of("a job of a plug-in") is WorkKind.KEEP


def test_a_worker_serves_agents_for_each_combination_of_its_labels_and_a_queue_of_its_own() -> None:
    queues = rules.served_queues([WorkKind.AGENT, WorkKind.FOLLOW], ("large", "gpu"), "w1")
    assert queues == ("worker.w1", "agent", "agent+gpu", "agent+large", "agent+gpu+large", "follow")
    assert rules.queue_of(WorkKind.AGENT, ("large", "gpu", "gpu")) in queues


def test_places_are_those_that_are_free_of_every_worker_that_serves_the_queue() -> None:
    one = WorkerPlaces(frozenset({"agent", "follow"}), 2)
    full = WorkerPlaces(frozenset({"agent", "agent+gpu"}), 0)
    assert rules.free_places([one, full]) == {"agent": 2, "follow": 2, "agent+gpu": 0}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((), None),
        (("gpu",), "no live worker serves agents with the label gpu"),
        (("large", "gpu"), "no live worker serves agents with the labels gpu, large"),
    ],
)
def test_a_label_that_no_worker_has_is_named(labels: tuple[str, ...], reason: str | None) -> None:
    assert rules.why_nobody_serves(labels, {"agent", "agent+large"}) == reason


def test_a_worker_is_lost_when_it_was_not_seen_for_longer_than_that() -> None:
    assert not rules.is_lost(NOW - timedelta(seconds=30), NOW, 30)
    assert rules.is_lost(NOW - timedelta(seconds=31), NOW, 30)


@pytest.mark.parametrize(("priority", "redis", "rabbitmq"), [(1, 0, 9), (4, 3, 6), (10, 9, 0), (99, 9, 0), (0, 0, 9)])
def test_the_brokers_priority_has_the_same_order_as_the_tasks(priority: int, redis: int, rabbitmq: int) -> None:
    assert rules.broker_priority(priority, first_is_lowest=True) == redis
    assert rules.broker_priority(priority, first_is_lowest=False) == rabbitmq


def test_labels_and_names_are_checked() -> None:
    assert rules.check_labels(["gpu", "eu-1", "gpu"]) == ("eu-1", "gpu")
    for check, text in ((rules.check_label, "a+b"), (rules.check_label, "GPU"), (rules.check_worker_name, "a/b")):
        with pytest.raises(ValueError, match=r"a worker's"):
            check(text)
    with pytest.raises(ValueError, match="5 labels"):
        rules.check_labels(["a", "b", "c", "d", "e"])
