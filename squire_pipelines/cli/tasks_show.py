"""`squire tasks show`: one task with its specification, attempts, history and outcome."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    with_home_to_read,
    write_fields,
)
from squire_pipelines.cli.cost_text import cost_text
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.pull_life_text import history_lines, life_lines
from squire_pipelines.cli.text import between, duration, instant
from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.branches import base_name
from squire_pipelines.domain.endings import Cause, Evidence
from squire_pipelines.domain.pull_life import OF_THE_PULL_REQUEST
from squire_pipelines.domain.remedies import remedy_text
from squire_pipelines.domain.tasks import Priority
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.domain.timings import Timings
from squire_pipelines.domain.verification import VerificationReport, describe_left_out
from squire_pipelines.execution.task_facts import ask_about_agent, read_task_facts
from squire_pipelines.ledger.archived_tasks import ArchivedTask, archived_task
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.base_watches import WatchedBase
from squire_pipelines.ledger.dependencies import Dependency
from squire_pipelines.ledger.merges import RecordedMerge
from squire_pipelines.ledger.model_calls import CallCosts
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.terminal.output import write_hanging, write_line

_LOG_LINES = 10
_ENGINE_S = 5.0
_SANDBOX = {True: "in a sandbox", False: "no sandbox", None: ""}
_ARCHIVED: Columns = {
    "id": "id",
    "repository": "repository",
    "status": "status",
    "cause": "cause",
    "attempts": "attempts",
    "cost": lambda task: None if task.cost_usd is None else f"${task.cost_usd:.2f}",
    "branch": "branch",
    "pull request": "pr_url",
    "outcome": "outcome",
    "trace": "trace_id",
    "created": "created_at",
    "ended": "ended_at",
    "archived": "archived_at",
    "archive": "archive",
}
_SPEC: Columns = {
    "kind": "kind",
    "risk": "risk",
    "confidence": lambda spec: f"{spec.confidence:.2f}",
    "because": lambda spec: "; ".join(spec.confidence_factors),
    "size": lambda spec: spec.size,
    "answers": lambda spec: ", ".join(spec.signals),
    "evidence": lambda spec: ", ".join(spec.evidence),
    "protected": lambda spec: ", ".join(spec.protected_paths),
    "files to read": lambda spec: ", ".join(spec.context.files_to_read),
    "approach": lambda spec: spec.implementation.approach,
}
_ATTEMPT: Columns = {
    "id": "id",
    "message": "message",
    "runner": lambda attempt: " ".join(part for part in (attempt.runner, _SANDBOX[attempt.sandboxed]) if part),
    "agent": "agent",
    "chosen": lambda attempt: _choice_text(attempt.choice),
    "image": "image",
    "run": "run_id",
    "exit code": lambda attempt: _evidence(attempt).exit_code,
    "out of memory": lambda attempt: "a process was killed" if _evidence(attempt).oom_killed else "",
    "error": lambda attempt: _evidence(attempt).error_code,
    "kept": lambda attempt: _evidence(attempt).facts.get("container_kept", ""),
    "look inside": lambda attempt: _evidence(attempt).facts.get("enter", ""),
    "verification": lambda attempt: _verification_text(attempt.verification),
    "commits": lambda attempt: " to ".join(sha[:12] for sha in (attempt.base_sha, attempt.head_sha) if sha),
    "queued": "queued_at",
    "to claim": lambda attempt: " = ".join(_to_claim(attempt)),
    "to start": lambda attempt: between(attempt.queued_at, attempt.agent_started_at),
    "agent ran": lambda attempt: between(attempt.agent_started_at, attempt.agent_ended_at),
    "in all": lambda attempt: between(attempt.queued_at, attempt.ended_at),
    "timings": lambda attempt: ", ".join(_timings(attempt)),
    "pull request": "pr_url",
}
_OUTCOME: Columns = {
    "pull request": "pr_url",
    "state": "state",
    "stands": lambda outcome: ": ".join(filter(None, (outcome.follow_state, outcome.follow_reason))),
    "not said": lambda outcome: _not_said(outcome.tell_error, outcome.tell_again_at),
    "ended": lambda outcome: ": ".join(filter(None, (outcome.ending, outcome.ending_reason))),
    "checks": "checks",
    "merging": "mergeability",
    "reviews": "review_decision",
    "opened": "opened_at",
    "merged": "merged_at",
}
_MERGE: Columns = {
    "merge": lambda merge: ": ".join(filter(None, (merge.own.progress, merge.own.reason))),
    "asked for": lambda merge: " ".join(filter(None, (merge.own.way, merge.method))),
    "not said": lambda merge: merge.tell_error,
}
_BASE: Columns = {
    "after it": lambda base: ": ".join(filter(None, (base.verdict, base.reason))),
    "revert": lambda base: base.revert_url or base.revert_error,
}


@command("show", examples=("squire tasks show t0m1e2x3a4m5p6l", "squire tasks show t0m1e2x3a4m5p6l --json"))
@click.argument("task_id", metavar="ID", type=TASK_ID)
@json_option
@with_home_to_read
def show(context: CliContext, task_id: str, *, as_json: bool) -> None:
    """Show a task with its specification, attempts, history and outcome.

    Of a ready task that nothing else holds up, the engine is asked whether its agent can start.
    """
    with context.ledger.read() as tx:
        if (archived := archived_task(tx, task_id)) is not None:
            _show_archived(archived, as_json=as_json)
            return
    facts = read_task_facts(context.ledger, context.settings, task_id)
    facts = ask_about_agent(context.ledger, context.settings, facts, within_s=_ENGINE_S)
    task, wait, needed, attempts = facts.task, facts.wait, facts.needed, facts.attempts
    events, outcome, life, costs = facts.events, facts.outcome, facts.life, facts.costs
    not_announced, not_reported, merge, base = facts.not_announced, facts.not_reported, facts.merge, facts.base
    if as_json:
        waiting = {
            "waiting": wait and wait.text,
            "waiting_for": wait and wait.kind.value,
            "waiting_until": wait and wait.until,
        }
        content = {**asdict(task), **waiting, "depends_on": [asdict(one) for one in needed], "spec": task.spec}
        content |= {"not_announced": not_announced, "not_reported": not_reported}
        # The fencing token lets its holder write to the ledger, so that it is not shown.
        rows = [{k: v for k, v in asdict(attempt).items() if k != "lease_token"} for attempt in attempts]
        content |= {"events": events, "outcome": outcome, "life": life, "merge": merge, "base": base}
        emit_json({**content, "attempt_rows": rows, "costs": costs})
        return
    total = f"{sum(of_one.cost_usd for of_one in costs.values()):.4f} USD" if costs else None
    _write_task(task, wait.text if wait is not None else None, needed, total=total)
    if not_announced is not None:
        write_line(f"not announced on its issue: {one_line(not_announced)}")
    if not_reported is not None:
        write_line(f"not reported on its commit: {one_line(not_reported)}")
    for attempt in attempts:
        _write_attempt(attempt, costs.get(attempt.id))
    write_line("\nHistory")
    # The steps of its pull request are told below, as its life.
    history = [event for event in events if outcome is None or event.subject not in OF_THE_PULL_REQUEST]
    for line in history_lines(history, task.trace_id, width=context.console.width):
        write_line(line)
    if outcome is not None:
        write_line("\nOutcome")
        write_fields(outcome, _OUTCOME)
        _write_merge(merge, base)
        write_line(f"\nLife of the pull request, trace {task.trace_id}")
        for line in life_lines(life, task.trace_id, width=context.console.width):
            write_line(line)


def _write_merge(merge: RecordedMerge | None, base: WatchedBase | None) -> None:
    """Write how far Squire's own merge has come, and what the base branch says after a merge."""
    if merge is not None:
        write_fields(merge, _MERGE)
    if base is not None:
        write_fields(base, _BASE)


def _show_archived(task: ArchivedTask, *, as_json: bool) -> None:
    """Show what is left of a task that was archived."""
    if as_json:
        emit_json({**asdict(task), "archived": True})
        return
    write_line(one_line(task.title))
    write_fields(task, _ARCHIVED)
    write_line(f"\nThe rest is in the archive: squire history sql \"FROM task_events WHERE task_id = '{task.id}'\"")


def _write_task(task: Task, waiting: str | None, needed: Sequence[Dependency], *, total: str | None) -> None:
    write_line(one_line(task.title))
    columns: Columns = {
        "id": "id",
        "repository": "repository",
        "status": "status",
        "priority": lambda task: Priority(task.priority).name.lower(),
        "waits for": lambda _task: waiting,
        "depends on": lambda _task: ", ".join(f"{one.task_id} ({one.status})" for one in needed),
        "cancelling": lambda task: "asked for" if task.cancel_requested_at and not task.status.is_final else "",
        "cause": "cause",
        "message": "message",
        "attempts": lambda task: f"{task.attempts} of {task.max_attempts}",
        "cost": lambda _task: total,
        "branch": lambda task: f"{task.branch} into {base_name(task.base_branch)}",
        "plan": "plan_id",
        "schedule": "schedule_id",
        "trace": "trace_id",
        "created": "created_at",
        "ended": "ended_at",
    }
    write_fields(task, columns)
    write_line("\nSpecification")
    write_fields(task.spec, _SPEC)
    for criterion in task.spec.acceptance_criteria:
        write_line(f"  - {one_line(criterion)}")
    write_line("")
    for line in plain(task.spec.prompt).splitlines():
        write_line(f"    {line}")


def _evidence(attempt: Attempt) -> Evidence:
    return attempt.evidence or Evidence()


def _not_said(error: str | None, again_at: datetime | None) -> str:
    """Return why something could not be said on GitHub, and what comes of it; empty where nothing failed."""
    if error is None:
        return ""
    return f"{error}; " + ("given up" if again_at is None else f"tried again at {instant(again_at)}")


def _verification_text(report: VerificationReport | None) -> str:
    """Return which checks were run on the change and how each ended, or why there were none."""
    if report is None:
        return ""
    checks = (
        f"{check.name} {'passed' if check.passed else f'failed: {check.detail}'.removesuffix(': ')}"
        for check in report.checks
    )
    word = {True: "passed", False: "failed", None: "nothing was run"}[report.passed]
    return "; ".join(filter(None, (word, report.message, *checks, describe_left_out(report.left_out))))


def _choice_text(choice: AgentChoice | None) -> str:
    if choice is None:
        return ""
    kind = f" ({choice.kind})" if choice.kind not in (None, choice.agent) else ""
    return f"{choice.agent}{kind}{f', model {choice.model}' if choice.model else ''}, by {choice.why}"


def _to_claim(attempt: Attempt) -> Iterator[str]:
    """Yield how long it took from the dispatch to the claim, and the parts of it that are known."""
    if attempt.claimed_at is not None:
        yield between(attempt.queued_at, attempt.claimed_at)
    timings = attempt.timings or Timings()
    known = (("in Dagster's queue", timings.queue_s), ("launch", timings.launch_s), ("claim", timings.claim_s))
    if parts := [f"{value:.1f}s {name}" for name, value in known if value is not None]:
        yield " + ".join(parts)


def _timings(attempt: Attempt) -> Iterator[str]:
    for name, value in _evidence(attempt).timings_s.items():
        yield f"{name} {duration(value) if value >= 1 else f'{value:.2f}s'}"


def _write_attempt(attempt: Attempt, costs: CallCosts | None) -> None:
    write_line(f"\nAttempt {attempt.number}: {attempt.status}" + (f", {attempt.cause}" if attempt.cause else ""))
    write_fields(attempt, {**_ATTEMPT, "cost": lambda _attempt: cost_text(costs) if costs is not None else ""})
    for finding in attempt.verdict.findings if attempt.verdict else ():
        write_line(f"  policy: {one_line(str(finding))}")
    if attempt.cause and not (cause := Cause(attempt.cause)).is_success:
        write_hanging("  what to do:    ", remedy_text(cause), indent=17)
    if tail := _evidence(attempt).log_tail:
        write_line("  last lines of the log:")
        for line in tail[-_LOG_LINES:]:
            write_line(f"    {one_line(line)}")
