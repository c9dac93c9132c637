"""All that is known of one task, read at once: `squire tasks show` and the board show the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.pull_life import LifeStep, life_of
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.settings_waits import waits_for_tenants_budgets
from squire_pipelines.ledger import announcements, base_watches, head_reports, merges
from squire_pipelines.ledger import attempts as attempt_rows
from squire_pipelines.ledger import outcomes as outcome_rows
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.base_watches import WatchedBase
from squire_pipelines.ledger.dependencies import Dependency, dependencies_of
from squire_pipelines.ledger.merges import RecordedMerge
from squire_pipelines.ledger.model_calls import CallCosts, costs_of_attempts
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.pull_steps import steps_on_branch
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tasks import Task, TaskEvent
from squire_pipelines.ledger.waiting import FOR_ITS_AGENT, FOR_ITS_START, Wait, WaitKind
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task with what has become of it.

    Args:
        task: Its row.
        wait: What it waits for; None where it does not wait.
        needed: The tasks that it depends on.
        attempts: Its attempts, oldest first.
        events: Its history, oldest first.
        outcome: Its pull request; None before it has one.
        life: The steps of that pull request.
        costs: What the model calls of its attempts cost, by attempt.
        not_announced: Why it could not be announced on its issue; None where nothing failed.
        not_reported: Why nothing could be reported on its commit; likewise.
        merge: How far Squire's own merge has come.
        base: What the base branch says after a merge.
    """

    task: Task
    wait: Wait | None
    needed: tuple[Dependency, ...]
    attempts: tuple[Attempt, ...]
    events: tuple[TaskEvent, ...]
    outcome: Outcome | None
    life: tuple[LifeStep, ...]
    costs: Mapping[str, CallCosts]
    not_announced: str | None
    not_reported: str | None
    merge: RecordedMerge | None
    base: WatchedBase | None


def read_task_facts(ledger: Ledger, general: Settings, task_id: str) -> TaskFacts:
    """Return what the ledger knows of a task. Raises NotFoundError.

    Args:
        ledger: The ledger.
        general: The settings, to which the repository's own file is added.
        task_id: Of the task.
    """
    with ledger.read() as tx:
        repository = task_rows.get(tx, task_id).repository
    settings = settings_in(ledger, general, repository)
    limits, rules = settings.budgets_for(repository), settings.dispatch.queue_rules
    with ledger.read() as tx:
        task = task_rows.get(tx, task_id)
        attempts = tuple(attempt_rows.of_task(tx, task_id))
        events = task_rows.events(tx, task_id)
        outcome = outcome_rows.get(tx, task_id)
        return TaskFacts(
            task=task,
            wait=_wait(general, task, task_rows.waiting_reason(tx, task, limits, rules)),
            needed=tuple(dependencies_of(tx, [task_id]).get(task_id, ())),
            attempts=attempts,
            events=events,
            outcome=outcome,
            life=tuple(life_of(events, steps_on_branch(tx, task.repository, task.branch))) if outcome else (),
            costs=costs_of_attempts(tx, [attempt.id for attempt in attempts]),
            not_announced=announcements.last_error(tx, task_id),
            not_reported=head_reports.last_error(tx, task_id),
            merge=merges.get(tx, task_id),
            base=base_watches.get(tx, task_id),
        )


def _wait(settings: Settings, task: Task, known: Wait | None) -> Wait | None:
    """Return what a task waits for; the budget that its tenant lacks before its start."""
    if known != FOR_ITS_START:
        return known
    return waits_for_tenants_budgets(settings, {task.id: task.repository}).get(task.id, known)


def ask_about_agent(ledger: Ledger, settings: Settings, facts: TaskFacts, *, within_s: float) -> TaskFacts:
    """Return the facts, with what the engine says of a task that nothing in the ledger keeps from starting."""
    if facts.wait != FOR_ITS_START:
        return facts
    from squire_pipelines.execution.assignment import why_agent_cannot_start  # noqa: PLC0415 - Docker's client

    problem = why_agent_cannot_start(ledger, settings, facts.task, Deadline.after(within_s))
    return facts if problem is None else replace(facts, wait=Wait(WaitKind.AGENT, f"{FOR_ITS_AGENT}: {problem}"))
