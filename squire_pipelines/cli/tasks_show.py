"""`squire tasks show`: one task whole, with its specification, attempts, history and outcome."""

from dataclasses import asdict
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context, table
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.text import between, duration, instant, one_line, plain
from squire_pipelines.ledger import attempts as attempt_rows
from squire_pipelines.ledger import outcomes as outcome_rows
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.retention import ArchivedTask, archived_task
from squire_pipelines.ledger.tasks import Task, TaskEvent

_LOG_LINES = 10


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    # The fencing token lets its holder write: it is nobody else's business.
    return {name: value for name, value in asdict(attempt).items() if name != "lease_token"}


@command("show", examples=("squire tasks show t0m1e2x3a4m5p6l", "squire tasks show t0m1e2x3a4m5p6l --json"))
@click.argument("task_id", metavar="ID", type=TASK_ID)
@json_option
@pass_cli_context
def show(context: CliContext, task_id: str, *, as_json: bool) -> None:
    """Show a task with its specification, attempts, history and outcome."""
    with context.ledger.read() as tx:
        if (known := archived_task(tx, task_id)) is not None:
            _show_archived(known, as_json=as_json)
            return
        task = task_rows.get(tx, task_id)
        waiting = task_rows.waiting_reason(tx, task, context.settings.budgets_for(task.repository))
        attempts = attempt_rows.of_task(tx, task_id)
        events = task_rows.events(tx, task_id)
        outcome = outcome_rows.get(tx, task_id)
    if as_json:
        emit_json(
            {
                **{name: value for name, value in asdict(task).items() if name != "spec"},
                "waiting": waiting,
                "spec": task.spec.model_dump(mode="json"),
                "attempt_rows": [_attempt_json(attempt) for attempt in attempts],
                "events": [asdict(event) for event in events],
                "outcome": None if outcome is None else asdict(outcome),
            }
        )
        return
    _write_task(task, waiting)
    _write_spec(task)
    for attempt in attempts:
        _write_attempt(attempt)
    _write_events(context, events)
    _write_outcome(outcome)


def _show_archived(known: ArchivedTask, *, as_json: bool) -> None:
    """What is left of a task that went to the archive."""
    if as_json:
        emit_json({**asdict(known), "archived": True})
        return
    click.echo(one_line(known.title))
    _fields(
        [
            ("id", known.id),
            ("repository", known.repository),
            ("status", known.status),
            ("cause", known.cause),
            ("attempts", known.attempts),
            ("cost", None if known.cost_usd is None else f"${known.cost_usd:.2f}"),
            ("branch", known.branch),
            ("pull request", known.pr_url),
            ("outcome", known.outcome),
            ("trace", known.trace_id),
            ("created", instant(known.created_at)),
            ("ended", instant(known.ended_at)),
            ("archived", instant(known.archived_at)),
            ("archive", known.archive),
        ]
    )
    click.echo(f"\nThe rest is in the archive: squire history sql \"FROM task_events WHERE task_id = '{known.id}'\"")


def _fields(pairs: list[tuple[str, object]]) -> None:
    for name, value in pairs:
        if value not in (None, "", ()):
            click.echo(f"  {name + ':':<14} {one_line(str(value), limit=2000)}")


def _write_task(task: Task, waiting: str | None) -> None:
    click.echo(f"{one_line(task.title)}")
    _fields(
        [
            ("id", task.id),
            ("repository", task.repository),
            ("status", task.status),
            ("waits for", waiting),
            ("cancelling", "asked for" if task.cancel_requested_at and not task.status.is_final else ""),
            ("cause", task.cause),
            ("message", task.message),
            ("attempts", f"{task.attempts} of {task.max_attempts}"),
            ("branch", f"{task.branch} into {task.base_branch}"),
            ("plan", task.plan_id),
            ("trace", task.trace_id),
            ("created", instant(task.created_at)),
            ("ended", instant(task.ended_at)),
        ]
    )


def _write_spec(task: Task) -> None:
    spec = task.spec
    click.echo("\nSpecification")
    _fields(
        [
            ("kind", spec.kind),
            ("priority", spec.priority.name.lower()),
            ("risk", spec.risk),
            ("confidence", f"{spec.confidence:.2f}"),
            ("answers", ", ".join(spec.signals)),
            ("depends on", ", ".join(spec.depends_on)),
            ("files to read", ", ".join(spec.context.files_to_read)),
            ("approach", spec.implementation.approach),
        ]
    )
    for criterion in spec.acceptance_criteria:
        click.echo(f"  - {one_line(criterion)}")
    click.echo("")
    for line in plain(spec.prompt).splitlines():
        click.echo(f"    {line}")


def _write_attempt(attempt: Attempt) -> None:
    click.echo(f"\nAttempt {attempt.number}: {attempt.status}" + (f", {attempt.cause}" if attempt.cause else ""))
    evidence = attempt.evidence or {}
    timings = {name: duration(value) if value >= 1 else f"{value:.2f}s" for name, value in _timings(evidence)}
    sandbox = {True: "in a sandbox", False: "no sandbox", None: ""}[attempt.sandboxed]
    _fields(
        [
            ("id", attempt.id),
            ("message", attempt.message),
            ("runner", " ".join(part for part in (attempt.runner, sandbox) if part)),
            ("agent", attempt.agent),
            ("image", attempt.image),
            ("run", attempt.run_id),
            ("exit code", evidence.get("exit_code")),
            ("out of memory", "a process was killed" if evidence.get("oom_killed") else ""),
            ("error", evidence.get("error_code")),
            ("commits", " to ".join(sha[:12] for sha in (attempt.base_sha, attempt.head_sha) if sha)),
            ("queued", instant(attempt.queued_at)),
            ("to start", between(attempt.queued_at, attempt.agent_started_at)),
            ("agent ran", between(attempt.agent_started_at, attempt.agent_ended_at)),
            ("in all", between(attempt.queued_at, attempt.ended_at)),
            ("timings", ", ".join(f"{name} {value}" for name, value in timings.items())),
            ("pull request", attempt.pr_url),
        ]
    )
    for finding in (attempt.verdict or {}).get("findings", []):
        click.echo(f"  policy: {one_line(_finding(finding))}")
    tail = evidence.get("log_tail") or ()
    if tail:
        click.echo("  last lines of the log:")
        for line in tail[-_LOG_LINES:]:
            click.echo(f"    {one_line(str(line))}")


def _finding(finding: Any) -> str:
    if not isinstance(finding, dict):
        return str(finding)
    where = f"{finding['path']} " if finding.get("path") else ""
    return f"{where}{finding.get('message', finding.get('rule', ''))}"


def _timings(evidence: dict[str, Any]) -> list[tuple[str, float]]:
    timings = evidence.get("timings_s") or {}
    return [(str(name), float(value)) for name, value in timings.items()]


def _write_events(context: CliContext, events: tuple[TaskEvent, ...]) -> None:
    click.echo("\nHistory")
    rows = [
        (
            instant(event.at),
            event.attempt_id or event.subject,
            f"{event.before or ''} → {event.after}",
            event.actor,
            event.reason,
        )
        for event in events
    ]
    context.console.print(table(("time", "what", "change", "by", "reason"), rows))


def _write_outcome(outcome: Outcome | None) -> None:
    if outcome is None:
        return
    click.echo("\nOutcome")
    _fields(
        [
            ("pull request", outcome.pr_url),
            ("state", outcome.state),
            ("checks", outcome.checks),
            ("opened", instant(outcome.opened_at)),
            ("merged", instant(outcome.merged_at)),
        ]
    )
