"""Jobs that people launch in Dagster's UI about tasks: approve, reject, start, cancel, retry, and their priority.

Each does what the command and the board do, by the same functions, and is recorded as `dagster:NAME`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from squire_pipelines.assets.page_urls import board_link, task_links, task_list
from squire_pipelines.domain.tasks import Priority
from squire_pipelines.errors import SquireError
from squire_pipelines.jobs.runs_by_hand import (
    KIND,
    PERSON,
    actor_of,
    by_whom,
    failure_of,
    job_by_hand,
    named_things,
    reason_of,
)
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.execution.task_changes import MadeChange
    from squire_pipelines.ledger.bulk import Change, Unmatched
    from squire_pipelines.ledger.store import Ledger


class NamedTasks(RunConfig):
    """The tasks that a person names."""

    tasks: list[str] = Field(
        description="Ids of the tasks, 500 at most, as the board, the asset `tasks` and `squire tasks list` show them."
    )
    person: str = Field(default="", description=PERSON)


class TasksAndReason(NamedTasks):
    """The tasks that a person names, and why they are changed."""

    reason: str = Field(default="", description="Why, for the task's history; 500 characters at most.")


class TasksAndPriority(NamedTasks):
    """The tasks that a person names, and the priority that they get."""

    level: Priority = Field(description="The priority: CRITICAL, HIGH, MEDIUM or LOW.")


@dg.op(name="approve", description="Approve proposed tasks, as `squire tasks approve` does.", tags=KIND)
def approve(context: dg.OpExecutionContext, config: NamedTasks, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Make proposed tasks ready."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.approve(), trace_id=trace_id)


@dg.op(name="reject", description="Reject proposed tasks, as `squire tasks reject` does.", tags=KIND)
def reject(
    context: dg.OpExecutionContext, config: TasksAndReason, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """End proposed tasks as cancelled."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(
            context, config, settings, ledger, bulk.reject(reason_of(config.reason) or "rejected"), trace_id=trace_id
        )


@dg.op(name="cancel", description="Cancel tasks, as `squire tasks cancel` does; running ones stop.", tags=KIND)
def cancel(
    context: dg.OpExecutionContext, config: TasksAndReason, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """End tasks, or ask the runs of those that run to end them."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(
            context, config, settings, ledger, bulk.cancel(reason_of(config.reason) or "cancelled"), trace_id=trace_id
        )


@dg.op(name="retry", description="Let ended tasks run again, as `squire tasks retry` does.", tags=KIND)
def retry(context: dg.OpExecutionContext, config: NamedTasks, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Follow pull requests again that were left to people, do closed ones again, and make the other tasks ready."""
    from squire_pipelines.execution.task_changes import change_tasks, retry_pull_requests
    from squire_pipelines.ledger import bulk

    ids, actor = named_things(config.tasks, "tasks"), actor_of(config.person)
    with run_trace(context) as trace_id:
        try:
            retried = retry_pull_requests(ledger, settings, ids, actor=actor, reason="asked for in Dagster's UI")
            change = bulk.retry(settings.dispatch.max_attempts)
            rest = retried.rest
            made = change_tasks(ledger, rest, change, actor=actor, trace_id=trace_id) if rest else None
        except SquireError as error:
            raise failure_of(error) from error
    if retried.not_asked:
        context.log.warning(retried.not_asked)
    _report(context, settings, ledger, ids, made, before=retried.lines, actor=actor, trace_id=trace_id)


@dg.op(name="start", description="Start tasks before all others, as `squire tasks start` does.", tags=KIND)
def start(context: dg.OpExecutionContext, config: NamedTasks, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Put ready tasks, and proposed ones, which that approves, before all others."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.start(), trace_id=trace_id)


@dg.op(name="prioritise", description="Set the priority of tasks, as `squire tasks priority` does.", tags=KIND)
def prioritise(
    context: dg.OpExecutionContext, config: TasksAndPriority, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """Give tasks that have not ended another priority than the one they were planned with."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.prioritise(config.level), trace_id=trace_id)


def _change(
    context: dg.OpExecutionContext,
    config: NamedTasks,
    settings: Settings,
    ledger: "Ledger",
    change: "Change",
    *,
    trace_id: str,
) -> None:
    from squire_pipelines.execution.task_changes import change_tasks

    ids, actor = named_things(config.tasks, "tasks"), actor_of(config.person)
    try:
        made = change_tasks(ledger, ids, change, actor=actor, trace_id=trace_id)
    except SquireError as error:
        raise failure_of(error) from error
    _report(context, settings, ledger, ids, made, actor=actor, trace_id=trace_id)


def _report(
    context: dg.OpExecutionContext,
    settings: Settings,
    ledger: "Ledger",
    ids: Sequence[str],
    made: "MadeChange | None",
    *,
    before: Sequence[str] = (),
    actor: str,
    trace_id: str,
) -> None:
    """Report what was done; raise Failure where a task stays as it is, with the reason that the command gives.

    Args:
        context: Of the op.
        settings: Say where links lead.
        ledger: The ledger.
        ids: The tasks that were named.
        made: What became of the change; None where there was none to make.
        before: What was done before it, a line for each task.
        actor: The person.
        trace_id: Of the run.
    """
    from squire_pipelines.ledger import tasks

    lines = [*before, *(made.lines() if made is not None else ())]
    for line in lines:
        context.log.info(line)
    unmatched = made.report.unmatched if made is not None else ()
    metadata: dict[str, dg.MetadataValue] = {
        "changed": dg.MetadataValue.int(len(ids) - len(unmatched)),
        "done": task_list(settings, dict(_split(lines))),
        **by_whom(actor, trace_id),
    }
    changed = [task_id for task_id in ids if task_id not in {one.task_id for one in unmatched}]
    if len(changed) == 1:
        with ledger.read() as tx:
            repository = tasks.get(tx, changed[0]).repository
        metadata |= task_links(settings, repository, changed[0])
    else:
        metadata |= board_link(settings, "/tasks")
    if unmatched:
        metadata["not_changed"] = task_list(settings, {one.task_id: _sentence(one) for one in unmatched})
        reasons = "; ".join(_sentence(one) for one in unmatched)
        raise dg.Failure(reasons, metadata=metadata, allow_retries=False)
    context.add_output_metadata(metadata)


def _split(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        subject, _, words = line.partition(": ")
        yield subject, words


def _sentence(one: "Unmatched") -> str:
    return f"{one.reason}: {one.hint}" if one.hint else one.reason


JOBS = (
    job_by_hand(
        approve,
        "approve_tasks",
        command="squire tasks approve",
        description="Approve the proposed tasks that you name: they run as soon as there is a slot.",
    ),
    job_by_hand(
        reject,
        "reject_tasks",
        command="squire tasks reject",
        description="Reject the proposed tasks that you name: they end as cancelled.",
    ),
    job_by_hand(
        start,
        "start_tasks",
        command="squire tasks start",
        description="Start the proposed or ready tasks that you name before all others, as soon as there is a slot.",
    ),
    job_by_hand(
        prioritise,
        "prioritise_tasks",
        command="squire tasks priority",
        description="Set the priority of the tasks that you name, which have not ended.",
    ),
    job_by_hand(
        cancel,
        "cancel_tasks",
        command="squire tasks cancel",
        description="Cancel the tasks that you name; those that run are stopped.",
    ),
    job_by_hand(
        retry,
        "retry_tasks",
        command="squire tasks retry",
        description="Let the failed or cancelled tasks that you name run again; one whose pull request was closed is "
        "done again, and one that was left to people is followed again.",
    ),
)
