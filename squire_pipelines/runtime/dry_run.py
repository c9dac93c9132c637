"""What a cycle would do, for `squire run --dry-run`: read and planned in memory, and shown."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.signals import Collection, Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import ConfigError, ExitCode, SquireError
from squire_pipelines.execution.group_planning import group_basis, plan_group
from squire_pipelines.execution.plan_preview import PlanPreview, preview_group, preview_plan
from squire_pipelines.execution.planning import plan_repository, unadmitted_plan
from squire_pipelines.execution.repository_file_reading import settings_at_github
from squire_pipelines.execution.repository_reading import foresee
from squire_pipelines.execution.repository_settings import missing_consents, repository_settings
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.exit_codes import code_over_repositories
from squire_pipelines.runtime.one_cycle import ask_about, open_client, tell_refused
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.console import CleanConsole
from squire_pipelines.terminal.output import write_json, write_labelled
from squire_pipelines.terminal.tables import table


@dataclass(slots=True)
class _DryRun:
    """One dry run.

    Args:
        settings: The operator's.
        ledger: Has what was read and planned before.
        trace_id: Of the run.
        stopped: The repositories in which nothing would be planned, and why.
        settings_of: Those that hold in each repository that was read.
        signals: Of each.
        refused: The repositories and groups that could not be planned, by the names of their plans, and why.
    """

    settings: Settings
    ledger: Ledger
    trace_id: str
    stopped: dict[str, str]
    settings_of: dict[str, Settings] = field(default_factory=dict)
    signals: dict[str, Sequence[Signal]] = field(default_factory=dict)
    refused: dict[str, SquireError] = field(default_factory=dict)

    async def plan(
        self, client: GitHubClient, name: str, info: RepositoryInfo
    ) -> tuple[Plan, tuple[Collection, ...]] | None:
        """Return what a cycle would do in a repository, and what was read for it; None where it is stopped or refused.

        Raises ConfigError when a file of the prompt or of goals cannot be used.
        """
        try:
            return await self._plan(client, name, info)
        except ConfigError:
            raise
        except SquireError as error:  # what is out of reach in one repository is no reason to leave out the others
            self.refused[name] = error
            return None

    async def _plan(
        self, client: GitHubClient, name: str, info: RepositoryInfo
    ) -> tuple[Plan, tuple[Collection, ...]] | None:
        effective, problem = await settings_at_github(client, self.settings, name)
        if problem is not None:
            _tell_stopped(name, problem)
            self.stopped[name] = problem
        if name in self.stopped:
            return None
        foresight = await foresee(client, effective, self.ledger, name)
        basis = foresight.basis
        self.settings_of[name], self.signals[name] = effective, basis.signals
        plan = unadmitted_plan(basis.latest, is_planned=basis.is_planned) or await plan_repository(
            effective, self.ledger, basis, info=info, trace_id=self.trace_id
        )
        with self.ledger.read() as tx:
            branch = info.default_branch
            shown = preview_plan(tx, effective, basis, plan, default_branch=branch, history={})
        return _with_what_would_be_made(shown), foresight.readings

    async def plan_group(self, client: GitHubClient, group: PlanGroup) -> Plan | None:
        """Return what a cycle would do over a group's repositories; None where it would plan nothing, which is told.

        Raises ConfigError when a file of the prompt or of goals cannot be used.
        """
        subject, own = group_subject(group.name), repository_settings(self.ledger, self.settings)
        for name in group.repositories:
            before = None if name in self.settings_of else own.stopped.get(name)
            if (why := self.stopped.get(name, before)) is not None:
                write_labelled("stopped", f"{subject}: nothing would be planned: {name}: {why}", color="red")
                return None
        with self.ledger.read() as tx:
            basis = group_basis(tx, self.settings, group, self.signals)
        if basis.unread:
            write_labelled("waits", f"{subject}: for a reading of {', '.join(basis.unread)}", color="yellow")
            return None
        if (latest := unadmitted_plan(basis.latest, is_planned=basis.is_planned)) is not None:
            return latest

        def settings_of(name: str) -> Settings:
            return self.settings_of.get(name) or own.of(name)

        settings, trace_id = self.settings, self.trace_id
        try:
            outcome = await plan_group(settings, client, self.ledger, basis, settings_of=settings_of, trace_id=trace_id)
        except ConfigError:
            raise
        except SquireError as error:
            self.refused[subject] = error
            return None
        with self.ledger.read() as tx:
            return _with_what_would_be_made(
                preview_group(tx, settings, basis, outcome, settings_of=settings_of, history={})
            )


def _with_what_would_be_made(preview: PlanPreview) -> Plan:
    """Return a plan with the tasks that would be made of it, and notes on why others would not."""
    tasks = tuple(task.spec for task in preview.tasks if task.is_requested or not preview.findings)
    findings = (f"its tasks would not be made: {finding.message}" for finding in preview.findings)
    return preview.plan.model_copy(update={"tasks": tasks, "notes": (*preview.plan.notes, *findings)})


def preview(
    settings: Settings, ledger: Ledger, names: Sequence[str], console: CleanConsole, *, as_json: bool
) -> ExitCode:
    """Read as a cycle would, plan in memory and show the tasks; nothing is stored or run.

    Where a cycle would plan nothing, nothing is: a repository is stopped, or nothing has changed since its last plan.
    Groups are planned of which the first repository is read. Only what GitHub says of its limits is kept, which every
    process obeys, and of a model that was asked for a plan what it answered and cost, with the mirror of the code that
    it was told of. PARTLY when a repository cannot be used or is not read whole, and another is; FAILED when none is.
    Raises ConfigError, and GitHubError and the like when no repository can be used.
    """
    unasked = missing_consents(ledger, names)
    _tell_not_started(unasked)
    dry_run = _DryRun(settings, ledger, new_trace_id(), dict(unasked))

    async def plan_all() -> tuple[list[tuple[Plan, tuple[Collection, ...]]], dict[str, SquireError]]:
        async with open_client(settings, ledger) as client:
            usable, refused = await ask_about(client, ledger, names)
            plans = [await dry_run.plan(client, name, usable[name]) for name in names if name in usable]
            groups = (group for group in settings.planner.group if group.repositories[0] in usable)
            over_several = [await dry_run.plan_group(client, group) for group in groups]
            together = ((plan, ()) for plan in over_several if plan is not None)
            return [*(plan for plan in plans if plan is not None), *together], {**refused, **dry_run.refused}

    done, refused = asyncio.run(plan_all())
    if all(name in refused for name in names):
        raise refused[names[0]]
    tell_refused(refused)
    silent = {plan.repository for plan, readings in done if not all(one.status.source_answered for one in readings)}
    code = code_over_repositories((*names, *refused.keys() - set(names)), silent | refused.keys())
    if as_json:
        write_json([plan.model_dump(mode="json") for plan, _ in done])
        return code
    cells: list[tuple[object, ...]] = []
    for plan, readings in done:
        _tell_plan(plan, readings, console)
        for task in plan.tasks:
            kinds = Counter(signal.partition(":")[0] for signal in task.signals)
            answers = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            name = task.repository or plan.repository
            cells.append((name, task.title, task.kind, task.priority.name.lower(), task.base_branch, answers))
    headings = ("repository", "task", "kind", "priority", "base", "answers")
    if not cells:
        console.print(Text("No task would be made (dry run: nothing was changed)", style="bold"))
        return code
    console.print(Text("Would be done (dry run: nothing was changed)", style="bold"))
    console.print(table(headings, cells, room=console.room, keep=headings, spare=("base", "kind")))
    return code


def _tell_stopped(name: str, problem: str) -> None:
    write_labelled("stopped", f"{name}: nothing would be planned before this is right: {problem}", color="red")


def _tell_not_started(reasons: Mapping[str, str]) -> None:
    for name, why in reasons.items():
        write_labelled("stopped", f"{name}: nothing would be started: {why}", color="red")


def _tell_plan(plan: Plan, readings: Sequence[Collection], console: CleanConsole) -> None:
    """Say what could not be read for a plan, what it leaves out, and its notes."""
    for reading in readings:
        if not reading.status.source_answered:
            console.print(Text(f"{plan.repository}: {reading.source} could not be read: {reading.error}", style="red"))
    for omission in plan.left_out:
        console.print(Text(f"{plan.repository}: left out: {omission.title}: {omission.message}"))
    for note in plan.notes:
        console.print(Text(f"{plan.repository}: {note}"))
