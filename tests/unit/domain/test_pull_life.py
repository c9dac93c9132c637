from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.pull_life import LifeStep, WorkStep, life_of
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class RecordedEvent:
    subject: str
    after: str
    minutes: int
    reason: str = ""
    actor: str = "follow"
    trace_id: str = "t"

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


def test_a_life_has_its_states_with_their_times_and_the_work_between_them() -> None:
    events = [
        RecordedEvent("task", "ready", 0),
        RecordedEvent("outcome", "open", 1, "pull request #7 opened"),
        RecordedEvent("follow", "fixing", 5),
        RecordedEvent("checks", "passed", 6),
        RecordedEvent("follow", "waiting_for_merge", 15),
        RecordedEvent("follow", "merged", 20),
        RecordedEvent("ending", "merged_unchanged", 20, "merged by ann"),
    ]
    mended = WorkStep("w1", FollowUpKind.CHECKS, TaskStatus.SUCCEEDED, START + timedelta(minutes=5), "w")
    asked = WorkStep("w2", None, TaskStatus.READY, START + timedelta(minutes=16), "x")
    life = life_of(events, [asked, mended])
    assert [(step.step, step.lasted_s) for step in life] == [
        ("open", None),
        ("fixing", 600),
        ("task w1", None),
        ("waiting_for_merge", 300),
        ("task w2", None),
        ("merged", None),
        ("merged_unchanged", None),
    ]
    assert life[2] == LifeStep(START + timedelta(minutes=5), "task w1", "checks: succeeded", "", "w")
    assert life[4].reason == "asked for: ready"
