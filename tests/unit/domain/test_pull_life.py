from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.pull_life import WorkStep, life_of
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
    before: str | None = None

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


def test_a_life_has_its_states_with_their_times_and_the_work_between_them() -> None:
    events = [
        RecordedEvent("task", "ready", 0),
        RecordedEvent("outcome", "open", 1, "pull request #7 opened"),
        RecordedEvent("checks", "failed", 4, before="pending"),
        RecordedEvent("follow", "fixing", 5, before="waiting_for_ci"),
        RecordedEvent("follow", "fixing", 7, "GitHub refused the push", before="fixing"),
        RecordedEvent("follow", "waiting_for_merge", 15, before="fixing"),
        RecordedEvent("outcome", "merged", 20, before="open"),
        RecordedEvent("follow", "merged", 20, before="waiting_for_merge"),
        RecordedEvent("ending", "merged_unchanged", 20, "merged by ann"),
    ]
    made_at = START + timedelta(minutes=5)
    mended = WorkStep(
        "w1",
        FollowUpKind.CHECKS,
        TaskStatus.SUCCEEDED,
        made_at,
        "w",
        ended_at=made_at + timedelta(minutes=9),
        head_sha="a" * 40,
    )
    asked = WorkStep("w2", None, TaskStatus.READY, START + timedelta(minutes=16), "x")
    life = life_of(events, [asked, mended])
    assert [(step.kind, step.step, step.lasted_s) for step in life] == [
        ("fact", "open", None),
        ("state", "waiting_for_ci", 240),
        ("fact", "checks failed", None),
        ("state", "fixing", 600),
        ("task", "checks", 540),
        ("note", "fixing", None),
        ("state", "waiting_for_merge", 300),
        ("task", "asked for", None),
        ("fact", "merged", None),
        ("state", "merged", None),
        ("ending", "merged_unchanged", None),
    ]
    assert life[1].at == START + timedelta(minutes=1), "from its opening on"
    work = life[4]
    assert (work.task_id, work.status, work.head_sha, work.trace_id) == ("w1", "succeeded", "a" * 40, "w")
