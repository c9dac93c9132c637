"""A person's changes of named tasks, by a command, on the board or in Dagster's UI: made in one transaction each."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.requests import repeat_task
from squire_pipelines.ledger import bulk, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.dependencies import Dependency, dependencies_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.settings.model import Settings

_SHOWN = 50
"""How many tasks are named one by one; of more, their number is shown."""

_ASK_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class MadeChange:
    """What became of a change: the tasks that were changed, and those that stay as they are.

    Args:
        change: What was to be done.
        report: What was done.
        needed: The tasks that those which were started depend on.
    """

    change: bulk.Change
    report: bulk.BulkReport
    needed: Mapping[str, tuple[Dependency, ...]]

    def lines(self) -> Iterator[str]:
        """Yield a line for each task that was changed, or for each state that many of them are in now."""
        for status, ids in self.report.changed.items():
            state = _new_state(status, self.change)
            names = ids if self.report.count <= _SHOWN else (f"{len(ids)} tasks",)
            for name in names:
                missing = [one.task_id for one in self.needed.get(name, ()) if one.status is not TaskStatus.SUCCEEDED]
                yield f"{name}: {state}" + (f", as soon as {', '.join(missing)} succeeded" if missing else "")


def change_tasks(
    ledger: Ledger,
    selection: Collection[str] | TaskQuery,
    change: bulk.Change,
    *,
    actor: str,
    trace_id: str | None = None,
) -> MadeChange:
    """Make a change to tasks by their ids, or to those that a filter finds. Raises RefusedError, see `bulk_update`.

    Args:
        ledger: The ledger.
        selection: The tasks.
        change: What is to be done.
        actor: The person.
        trace_id: Of what the person has asked with, where that has one.
    """
    ids = () if isinstance(selection, TaskQuery) else tuple(selection)
    trace_id = trace_id or new_trace_id()
    with bound_context(trace_id=trace_id), ledger.write() as tx:
        report = bulk.bulk_update(tx, selection, change, actor=actor, trace_id=trace_id)
        return MadeChange(change, report, dependencies_of(tx, ids) if change.is_start else {})


def _new_state(status: TaskStatus, change: bulk.Change) -> str:
    if change.priority is not None:
        return f"{status}, {change.reason}"
    if change.is_start:
        return f"{status}, before all others"
    if status is TaskStatus.RUNNING:
        return "asked to stop"
    if change.more_attempts:
        return f"ready, up to {change.more_attempts} more attempt{'' if change.more_attempts == 1 else 's'}"
    return str(status)


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry has done with tasks that have a pull request, before the others run again.

    Args:
        lines: What was done, in words.
        rest: The tasks that are left to `bulk.retry`.
        not_asked: Why GitHub was not asked for the present heads; empty where it was, or had not to be.
    """

    lines: tuple[str, ...]
    rest: tuple[str, ...]
    not_asked: str = ""


def retry_pull_requests(
    ledger: Ledger, settings: Settings, ids: Collection[str], *, actor: str, reason: str
) -> Retried:
    """Take up what was left to people, and do again what was closed.

    A task that adds to a pull request left to people has that followed again, too, and is retried as any other.

    Args:
        ledger: The ledger.
        settings: The settings.
        ids: The tasks that a person names.
        actor: The person.
        reason: For the history.

    Raises:
        NotFoundError, RefusedError, ConfigError: One of them cannot be; what was done before holds.
    """
    names = tuple(dict.fromkeys(ids))
    not_asked = _learn_heads(ledger, settings, names)
    taken, started = _take_up(ledger, names, actor=actor, reason=reason)
    lines = [f"{task_id}: its pull request is followed again" for task_id in taken]
    closed = _closed_among(ledger, names)
    for task in closed:
        own = settings_in(ledger, settings, task.repository)
        trace_id = new_trace_id()
        with bound_context(trace_id=trace_id), ledger.write() as tx:
            made = repeat_task(tx, own, task.id, actor=actor, trace_id=trace_id)
        lines.append(f"{task.id}: done again as {made.id}" + ("" if made.is_new else ", which was asked for before"))
    done = {*taken, *started, *(task.id for task in closed)}
    return Retried(tuple(lines), tuple(task_id for task_id in names if task_id not in done), not_asked)


def _learn_heads(ledger: Ledger, settings: Settings, ids: tuple[str, ...]) -> str:
    """Record the present heads of pull requests that were left to people: a push may not be known yet.

    Where GitHub does not say, they are taken up from the heads that are known, and the reason is returned.
    """
    with ledger.read() as tx:
        owners = dict.fromkeys(owner for one in ids for owner in (one, followed_pulls.owner_of(tx, one)) if owner)
        left = [one for owner in owners if (one := outcomes.get(tx, owner)) is not None and one.handed_over is not None]
    if not left:
        return ""
    from squire_pipelines.execution.present_pull import record_present_pull  # noqa: PLC0415 - seldom needed
    from squire_pipelines.github.connection import GitHub  # noqa: PLC0415 - likewise

    async def ask() -> None:
        async with asyncio.timeout(_ASK_WITHIN_S), GitHub(settings, ledger).client() as client:
            for one in left:
                await record_present_pull(client, ledger, one.repository, one.pr_number)

    try:
        asyncio.run(ask())
    except (SquireError, TimeoutError) as error:
        return f"GitHub does not say which head it has now: {error or 'it is too slow'}"
    return ""


def _take_up(
    ledger: Ledger, ids: tuple[str, ...], *, actor: str, reason: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Follow pull requests again that were left to people; return these tasks, and those that this has retried."""
    with ledger.write() as tx:
        added_to = [owner for one in ids if (owner := followed_pulls.owner_of(tx, one)) is not None]
        named = list(dict.fromkeys((*ids, *added_to)))
        taken = tuple(one for one in named if followed_pulls.take_up(tx, one, actor=actor, reason=reason))
        # What GitHub had not taken is tried again by that already.
        retried = tuple(
            one
            for one in ids
            if followed_pulls.owner_of(tx, one) in taken and tasks.get(tx, one).status is TaskStatus.READY
        )
    return taken, retried


def _closed_among(ledger: Ledger, ids: tuple[str, ...]) -> tuple[tasks.Task, ...]:
    """Return those of the tasks whose pull request was closed and not merged."""
    with ledger.read() as tx:
        states = {task_id: outcomes.get(tx, task_id) for task_id in ids}
        closed = [
            task_id for task_id, outcome in states.items() if outcome and outcome.state == PullRequestState.CLOSED
        ]
        return tuple(task for task_id in closed if (task := tasks.get(tx, task_id)).status is TaskStatus.SUCCEEDED)
