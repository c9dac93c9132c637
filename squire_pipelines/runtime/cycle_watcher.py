"""Saying what happens in a cycle while it happens: one line for each step and each change of a task, none twice."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.plurals import counted
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import plans
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.queue_waits import RulesOf
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.waiting import WaitKind
from squire_pipelines.runtime.cycle import CycleState, CycleTask, look
from squire_pipelines.settings.model import Settings

Say = Callable[[str], None]


class CycleWatcher:
    """Looks at a cycle again and again; each look says what is new.

    Args:
        repositories: The cycle's repositories.
        requests: The inbox rows that asked for it.
        since: When it was asked for, by the ledger's clock.
        say: Takes one line of plain text.
        stopped: Gives the repositories in which nothing is planned and started, and why.
        settings: Have the groups whose plans are waited for; None for no group.
        rules_of: What holds for the ready tasks of a repository.
    """

    def __init__(
        self,
        ledger: Ledger,
        repositories: Sequence[str],
        requests: Sequence[int],
        since: datetime,
        *,
        say: Say,
        stopped: Callable[[], Mapping[str, str]] = dict,
        settings: Settings | None = None,
        rules_of: RulesOf = lambda _: QueueRules(),
    ) -> None:
        self._ledger = ledger
        self._repositories = tuple(repositories)
        self._requests = tuple(requests)
        self._since = since
        self._say = say
        self._collected = False
        self._planned = False
        self._seen: dict[str, str] = {}
        self._stopped = stopped
        self._settings = settings
        self._rules_of = rules_of

    def wait_for(self, requests: Sequence[int]) -> None:
        """Take these inbox rows into the cycle: it is collected and planned when they are."""
        self._requests += tuple(requests)
        self._collected = self._planned = False

    def look(self) -> CycleState:
        """Read the state, say what has changed since the last look, and return it."""
        stopped = self._stopped()
        state = look(
            self._ledger,
            self._repositories,
            self._requests,
            self._since,
            stopped,
            settings=self._settings,
            rules_of=self._rules_of,
        )
        if self._planned:
            # What deliveries bring to light later belongs to a later cycle; tasks that come of it are still shown.
            state = dataclasses.replace(state, unplanned=0)
        if state.collected and not self._collected:
            self._collected = True
            self._say(_collected(state))
            for name in self._repositories:
                if name in stopped:
                    self._say(f"{name}: nothing is planned and started: {stopped[name]}")
        if state.planned and not self._planned:
            self._planned = True
            asked = f", and {state.asked_tasks} asked for by people" if state.asked_tasks else ""
            self._say(f"planned: {counted(state.planned_tasks, 'task')}{asked}")
            for name in self._repositories:
                self._tell_without_model(name)
            for subject in self._groups():
                self._tell_of_group(subject)
        for row in state.rows:
            now = _describe(row)
            if self._seen.get(row.task_id) != now:
                self._seen[row.task_id] = now
                self._say(f"{row.repository}  {row.task_id}  {now}")
        return state

    def _tell_without_model(self, repository: str) -> None:
        with self._ledger.read() as tx:
            newest = plans.latest(tx, repository)
        if newest is None or not newest.plan.model_failed:
            return
        self._say(_without_model(repository, newest))
        if newest.ask_again_at is not None:
            self._say(f"{repository}: the model is asked again from {newest.ask_again_at:%Y-%m-%d %H:%M} UTC on")

    def _groups(self) -> list[str]:
        groups = self._settings.planner.group if self._settings is not None else ()
        return [group_subject(group.name) for group in groups if group.repositories[0] in self._repositories]

    def _tell_of_group(self, subject: str) -> None:
        """Say why a group's newest plan makes no tasks, or why a newer one could not be made."""
        with self._ledger.read() as tx:
            newest = plans.latest(tx, subject)
        if newest is None:
            return
        if newest.findings:
            self._say(f"{subject}: no task is made: {newest.findings[0].message}")
        elif newest.plan.model_failed:
            self._say(_without_model(subject, newest))
        elif newest.ask_again_at is not None:  # of a plan before this one nothing else is kept, see `put_off`
            self._say(f"{subject}: no new plan could be made: the check `groups` of `task_plan` says why")
        if newest.ask_again_at is not None:
            self._say(f"{subject}: it is planned again from {newest.ask_again_at:%Y-%m-%d %H:%M} UTC on")


def _without_model(subject: str, saved: SavedPlan) -> str:
    return f"{subject}: {next(iter(saved.plan.notes), 'planned by rules, since the model failed')}"


def _collected(state: CycleState) -> str:
    repositories = {reading.repository for reading in state.readings}
    signals = sum(reading.signals for reading in state.readings)
    silent = [reading for reading in state.readings if not reading.status.source_answered]
    places = counted(len(repositories), "repository", "repositories")
    text = f"collected {places}: {counted(signals, 'signal')}"
    return text + (f", {counted(len(silent), 'source')} did not answer" if silent else "")


def _describe(row: CycleTask) -> str:
    if row.outcome is not None and row.status is TaskStatus.SUCCEEDED:
        return f"pull request #{row.pr_number} {row.outcome}"
    if row.status is TaskStatus.RUNNING:
        return "agent runs" if row.start_s is not None else "running"
    if row.waiting_for is WaitKind.CAP:
        return f"waits for {row.waiting}"
    if row.status is TaskStatus.READY:
        return f"ready: {row.title}" if row.cause is None else f"tried again after {row.cause}"
    if row.status is TaskStatus.PROPOSED:
        return f"waits for approval: {row.title}"
    return f"{row.status}: {row.message or row.cause}"
