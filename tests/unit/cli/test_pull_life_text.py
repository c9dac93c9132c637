from datetime import UTC, datetime, timedelta

from squire_pipelines.cli.pull_life_text import history_lines, life_lines
from squire_pipelines.domain.pull_life import LifeStep, LifeStepKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.tasks import TaskEvent

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TRACE, OTHER = "ab" * 16, "cd" * 16
LONG = "tests / unit (3.11) and tests / unit (3.12) have failed, and stayed so for as long as the settings say"


def step(minutes: int, kind: LifeStepKind, name: str, reason: str = "", **values: object) -> LifeStep:
    made = {"actor": "follow", "trace_id": TRACE, **values}
    return LifeStep(START + timedelta(minutes=minutes), kind, name, reason, **made)  # type: ignore[arg-type]


LIFE = (
    step(0, LifeStepKind.FACT, "open", "pull request #7 opened", actor="execution"),
    step(1, LifeStepKind.STATE, "fixing", LONG, lasted_s=600),
    step(
        1,
        LifeStepKind.TASK,
        "checks",
        actor="",
        lasted_s=540,
        task_id="t0m1e2x3a4m5p6l",
        status=TaskStatus.SUCCEEDED,
        head_sha="a" * 40,
    ),
    step(2, LifeStepKind.NOTE, "fixing", "taken up again", actor="ann", trace_id=OTHER),
    step(11, LifeStepKind.ENDING, "merged_unchanged", "merged by\x1b[2J ann"),
)


def test_a_life_is_told_within_eighty_columns() -> None:
    lines = list(life_lines(LIFE, TRACE, width=80))
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert lines[0] == "  2026-11-01 12:00:00Z          open: pull request #7 opened (by execution)"
    assert "  2026-11-01 12:01:00Z     10m  fixing: tests / unit (3.11)" in text
    assert "      9m  task t0m1e2x3a4m5p6l mends its checks of" in text
    assert "merged_unchanged: merged by ann" in text
    assert TRACE not in text, "it stands above the life"
    assert OTHER in text


def test_a_narrow_or_endless_terminal_gets_lines_that_can_be_read() -> None:
    assert max(map(len, life_lines(LIFE, TRACE, width=10))) <= 60
    assert max(map(len, life_lines(LIFE, TRACE, width=10_000))) <= 120


def event(minutes: int, before: str | None, after: str, reason: str, **values: object) -> TaskEvent:
    made = {"id": minutes, "attempt_id": None, "subject": "task", "actor": "dispatch", "trace_id": TRACE, **values}
    at = START + timedelta(minutes=minutes)
    return TaskEvent(before=before, after=after, reason=reason, at=at, **made)  # type: ignore[arg-type]


def test_a_history_is_told_within_eighty_columns() -> None:
    events = (
        event(0, None, "ready", "asked for", actor="github:mira"),
        event(1, "queued", "running", LONG, attempt_id="t0m1e2x3a4m5p6l-12", subject="attempt", trace_id=OTHER),
    )
    lines = list(history_lines(events, TRACE, width=80))
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "  2026-11-01 12:00:00Z  task        ready: asked for (by github:mira)"
    assert lines[1].startswith("  2026-11-01 12:01:00Z  attempt 12  queued → running: tests / unit")
    assert lines[-1].endswith(f"{OTHER})")
    assert list(history_lines((), TRACE, width=80)) == []
