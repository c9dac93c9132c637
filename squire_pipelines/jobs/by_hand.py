"""Jobs that people launch in Dagster's UI: approve, reject, cancel and retry tasks, and read repositories now.

Each does what the command and the board do, by the same functions, and is recorded as `dagster:NAME`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from squire_pipelines.assets.page_urls import board_link, repository_links, task_links, task_list
from squire_pipelines.errors import SquireError
from squire_pipelines.process_setup import user_name
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.execution.task_changes import MadeChange
    from squire_pipelines.ledger.bulk import Change, Unmatched
    from squire_pipelines.ledger.store import Ledger

MAX_NAMES = 500
MAX_REASON = 500
_NAME = re.compile(r"[A-Za-z0-9.@+_-]{1,50}")
# People wait for it: in Dagster's queue it goes before agents and routine work.
_RUN_TAGS = {"dagster/max_runtime": "300", "dagster/priority": "100", "squire/part": "by_hand"}
_KIND = {"kind": "sql"}
_PERSON = (
    "Who you are, for the audit trail and the task's history: letters, digits and .@+_-. "
    "By default the user that Dagster runs as."
)


class NamedTasks(dg.Config):
    """The tasks that a person names."""

    tasks: list[str] = Field(
        description="Ids of the tasks, 500 at most, as the board, the asset `tasks` and `squire tasks list` show them."
    )
    person: str = Field(default="", description=_PERSON)


class TasksAndReason(NamedTasks):
    """The tasks that a person names, and why they are changed."""

    reason: str = Field(default="", description="Why, for the task's history; 500 characters at most.")


class NamedRepositories(dg.Config):
    """The repositories that a person wants to be read."""

    repositories: list[str] = Field(
        default=[],
        description="Names of repositories of the settings, such as owner/name; all of them where none is named.",
    )
    fresh: bool = Field(
        default=False, description="Whether everything is read, also where a look at GitHub finds nothing new."
    )


@dg.op(name="approve", description="Approve proposed tasks, as `squire tasks approve` does.", tags=_KIND)
def approve(context: dg.OpExecutionContext, config: NamedTasks, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Make proposed tasks ready."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.approve(), trace_id=trace_id)


@dg.op(name="reject", description="Reject proposed tasks, as `squire tasks reject` does.", tags=_KIND)
def reject(
    context: dg.OpExecutionContext, config: TasksAndReason, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """End proposed tasks as cancelled."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.reject(_reason(config) or "rejected"), trace_id=trace_id)


@dg.op(name="cancel", description="Cancel tasks, as `squire tasks cancel` does; running ones stop.", tags=_KIND)
def cancel(
    context: dg.OpExecutionContext, config: TasksAndReason, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """End tasks, or ask the runs of those that run to end them."""
    from squire_pipelines.ledger import bulk

    with run_trace(context) as trace_id:
        _change(context, config, settings, ledger, bulk.cancel(_reason(config) or "cancelled"), trace_id=trace_id)


@dg.op(name="retry", description="Let ended tasks run again, as `squire tasks retry` does.", tags=_KIND)
def retry(context: dg.OpExecutionContext, config: NamedTasks, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Follow pull requests again that were left to people, do closed ones again, and make the other tasks ready."""
    from squire_pipelines.execution.task_changes import change_tasks, retry_pull_requests
    from squire_pipelines.ledger import bulk

    ids, actor = _names(config.tasks, "tasks"), _actor(config.person)
    with run_trace(context) as trace_id:
        try:
            retried = retry_pull_requests(ledger, settings, ids, actor=actor, reason="asked for in Dagster's UI")
            change = bulk.retry(settings.dispatch.max_attempts)
            rest = retried.rest
            made = change_tasks(ledger, rest, change, actor=actor, trace_id=trace_id) if rest else None
        except SquireError as error:
            raise _failure(error) from error
    if retried.not_asked:
        context.log.warning(retried.not_asked)
    _report(context, settings, ledger, ids, made, before=retried.lines, actor=actor, trace_id=trace_id)


@dg.op(
    name="request_reading",
    description="Ask for repositories to be read, as `squire signals collect` does; the sensor `webhooks` reads them "
    "within seconds, in a run of the job `collect`.",
    tags=_KIND,
)
def request_reading(
    context: dg.OpExecutionContext, config: NamedRepositories, settings: SettingsParam, ledger: LedgerParam
) -> None:
    """Write into the inbox what is to be read, and wait for nothing: the reading is a run of its own."""
    from squire_pipelines.domain.deliveries import DeliverySource
    from squire_pipelines.github.access import access_from
    from squire_pipelines.ledger import deliveries
    from squire_pipelines.settings.named_repositories import repositories_of_cycle

    asked = _names(config.repositories, "repositories") if config.repositories else ()
    with run_trace(context) as trace_id:
        try:
            access_from(settings, required=True)
            names = repositories_of_cycle(settings, asked)
            with ledger.write() as tx:
                requests = deliveries.request_collection(
                    tx, names, source=DeliverySource.COMMAND, trace_id=trace_id, fresh=config.fresh
                )
        except SquireError as error:
            raise _failure(error) from error
    context.log.info("%d repositories are to be read by the sensor `webhooks`", len(names))
    one = repository_links(settings, names[0], "/signals") if len(names) == 1 else board_link(settings, "/signals")
    context.add_output_metadata(
        {
            "repositories": list(names),
            "requests": len(requests),
            "trace_id": trace_id,
            "trace": dg.MetadataValue.md(f"`squire trace {trace_id}`"),
            **one,
        }
    )


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

    ids, actor = _names(config.tasks, "tasks"), _actor(config.person)
    try:
        made = change_tasks(ledger, ids, change, actor=actor, trace_id=trace_id)
    except SquireError as error:
        raise _failure(error) from error
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
        "by": dg.MetadataValue.text(actor),
        "trace_id": dg.MetadataValue.text(trace_id),
        "trace": dg.MetadataValue.md(f"`squire trace {trace_id}`"),
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


def _failure(error: SquireError) -> dg.Failure:
    hint = {"next_step": error.hint} if error.hint else {}
    return dg.Failure(f"{error}", metadata=hint, allow_retries=False)


def _names(texts: Sequence[str], field: str) -> tuple[str, ...]:
    """Return the names of a list in the run's config, each once. Raises Failure for none, or too many."""
    names = tuple(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))
    if not 1 <= len(names) <= MAX_NAMES:
        raise dg.Failure(
            f"`{field}` of the run's config has {len(names)} names: between 1 and {MAX_NAMES} are needed",
            allow_retries=False,
        )
    return names


def _reason(config: TasksAndReason) -> str:
    reason = " ".join(config.reason.split())
    if len(reason) > MAX_REASON:
        raise dg.Failure(
            f"`reason` of the run's config has {len(reason)} characters, and {MAX_REASON} are possible",
            allow_retries=False,
        )
    return reason


def _actor(person: str) -> str:
    """Return how the records name the person. Raises Failure for a name with other characters than a name has."""
    name = person.strip() or user_name()
    if person.strip() and not _NAME.fullmatch(name):
        raise dg.Failure(
            f"`person` of the run's config is no name: up to 50 letters, digits and .@+_- are, not {name[:60]!r}",
            allow_retries=False,
        )
    return f"dagster:{name}"[:60]


def _job(op: dg.OpDefinition, name: str, description: str) -> dg.JobDefinition:
    @dg.job(
        name=name,
        description=description,
        executor_def=dg.in_process_executor,
        tags=_RUN_TAGS,
        metadata={"command": dg.MetadataValue.md(_COMMANDS[name])},
    )
    def launched_by_people() -> None:
        op()

    return launched_by_people


_COMMANDS = {
    "approve_tasks": "`squire tasks approve`",
    "reject_tasks": "`squire tasks reject`",
    "cancel_tasks": "`squire tasks cancel`",
    "retry_tasks": "`squire tasks retry`",
    "collect_now": "`squire signals collect`",
}
"""The jobs, and the command that does the same."""

JOBS = (
    _job(approve, "approve_tasks", "Approve the proposed tasks that you name: they run as soon as there is a slot."),
    _job(reject, "reject_tasks", "Reject the proposed tasks that you name: they end as cancelled."),
    _job(cancel, "cancel_tasks", "Cancel the tasks that you name; those that run are stopped."),
    _job(
        retry,
        "retry_tasks",
        "Let the failed or cancelled tasks that you name run again; one whose pull request was closed is done again, "
        "and one that was left to people is followed again.",
    ),
    _job(request_reading, "collect_now", "Read the repositories that you name, or all, without waiting for the time."),
)
