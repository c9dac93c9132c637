"""What a demo says at its end: a paragraph where it stopped, and what became of a person's own command."""

from dataclasses import replace

import pytest

from squire_pipelines.demo.ending import has_result, result_lines, stop_paragraph
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.runtime.cycle import CycleState, CycleTask

ROW = CycleTask(
    repository="local/api",
    task_id="t1",
    title="Sort",
    status=TaskStatus.FAILED,
    waiting=None,
    waiting_for=None,
    cause="agent_error",
    message="the command ended with exit code 2.",
    start_s=1.0,
    pr_url=None,
    pr_number=None,
    outcome=None,
    sandboxed=False,
    needs_approval=False,
    trace_id="0" * 32,
)
CYCLE = CycleState(uncollected=0, unplanned=0, readings=(), rows=(ROW,), last_event=1, planned_tasks=1)


def test_a_failed_command_is_a_result_with_its_reason_and_last_lines() -> None:
    lines = result_lines(ROW, [str(number) for number in range(20)])
    assert lines[:2] == ["result: the command failed: the command ended with exit code 2", "its last lines:"]
    assert lines[2:] == [f"  {number}" for number in range(10, 20)]
    assert result_lines(ROW, [])[1:] == []


@pytest.mark.parametrize(
    ("cause", "status", "line"),
    [
        ("no_changes", TaskStatus.SUCCEEDED, "result: nothing to change: the command left every file as it was"),
        ("policy_rejected", TaskStatus.FAILED, "result: the change was refused: the command ended with exit code 2"),
        ("completed", TaskStatus.SUCCEEDED, None),
    ],
)
def test_what_became_of_a_command_is_one_line(cause: str, status: TaskStatus, line: str | None) -> None:
    row = replace(ROW, cause=cause, status=status)
    assert result_lines(row, ["not shown"]) == ([line] if line else [])
    assert has_result(row)


def test_a_refusal_is_not_said_twice() -> None:
    row = replace(ROW, cause="policy_rejected", message="the change was refused by forbidden_path (a)")
    assert result_lines(row, ()) == ["result: the change was refused by forbidden_path (a)"]


def test_what_the_pipeline_failed_at_is_no_result() -> None:
    assert has_result(ROW)
    assert not has_result(replace(ROW, cause="engine_lost"))
    assert not has_result(replace(ROW, status=TaskStatus.RUNNING, cause=None))


@pytest.mark.parametrize(
    ("cycle", "reached"),
    [
        (replace(CYCLE, uncollected=1), "nothing was collected yet, it waited for the daemon's first runs,"),
        (replace(CYCLE, unplanned=1), "the signals were collected, it waited for their plan,"),
        (
            replace(CYCLE, rows=(ROW, replace(ROW, status=TaskStatus.RUNNING))),
            "1 of 2 tasks had ended, it waited for the others,",
        ),
        (CYCLE, "all tasks had ended, it waited for the last pull requests or the warehouse,"),
    ],
)
def test_a_demo_that_stopped_says_what_was_reached_why_and_how_to_go_on(cycle: CycleState, reached: str) -> None:
    text = stop_paragraph(cycle, idle_s=120, limit_s=120, log="/run/daemon.log")
    assert reached in text
    assert "nothing had happened for 120 s" in text
    assert "Run it again to go on from here, with --timeout 600 to wait longer" in text
    assert "/run/daemon.log" in text
    assert "\n" not in text
    assert "took longer than a demo may" in stop_paragraph(cycle, idle_s=3, limit_s=120, log="x")
