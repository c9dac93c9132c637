"""Plans for `squire plans make`: repositories and groups side by side, each planned once, saved or only shown."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from squire_pipelines.assets.concurrency import gather_bounded
from squire_pipelines.domain.cost_prediction import CostHistory
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.signals import Signal
from squire_pipelines.errors import ConfigError, GitHubError, NotFoundError, RefusedError, SquireError
from squire_pipelines.execution.group_planning import admit_groups_plan, group_basis, plan_group, save_group_plan
from squire_pipelines.execution.plan_preview import PlanPreview, preview_group, preview_plan
from squire_pipelines.execution.planning import PlanBasis, admit_plan, plan_repository, recorded_basis, save_plan
from squire_pipelines.execution.repository_file_reading import settings_at_github
from squire_pipelines.execution.repository_reading import foresee
from squire_pipelines.execution.repository_settings import RepositorySettings, missing_consents, repository_settings
from squire_pipelines.execution.requests import take_requests
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger import collections, tasks
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.runtime.one_cycle import ask_about, open_client
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.model import Settings

_PROGRESS_S = 10.0
_NAMED = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MadePlan:
    """What became of one repository, or of a group by the name of its plans: a preview, or an error.

    `saved` and `created` are there where the plan was kept: its row, and the tasks that were made, requests too.
    `remarks` say what a person should know beside.
    """

    repository: str
    preview: PlanPreview | None = None
    error: SquireError | None = None
    saved: SavedPlan | None = None
    created: tuple[Task, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanMaker:
    """Plans repositories and groups of them.

    Args:
        settings: The operator's.
        ledger: Has what was read, and gets the plans.
        history: What tasks cost by kind and model.
        keep: Whether plans are saved and become tasks; else nothing is written but what a model costs and answers.
        reads: Whether GitHub is read anew where nothing is kept; else, and where plans are kept, what was read last
            counts.
        say: Tells people how far it is.
    """

    settings: Settings
    ledger: Ledger
    history: CostHistory
    keep: bool
    reads: bool
    say: Say

    def make(self, names: Sequence[str], groups: Sequence[PlanGroup] = ()) -> tuple[MadePlan, ...]:
        """Plan these repositories and groups, at most `collection.max_concurrent_repositories` at once.

        What goes wrong with one is in its result, and the others go on. Raises GitHubError when no repository can be
        used.
        """
        return asyncio.run(self._make_all(names, groups))

    async def _make_all(self, names: Sequence[str], groups: Sequence[PlanGroup]) -> tuple[MadePlan, ...]:
        trace_id = new_trace_id()
        own = repository_settings(self.ledger, self.settings)
        by_subject = {group_subject(group.name): group for group in groups}
        members = (name for group in groups for name in group.repositories)
        async with open_client(self.settings, self.ledger) as client:
            usable, refused = await ask_about(client, self.ledger, tuple(dict.fromkeys((*names, *members))))
            made = {name: MadePlan(name, error=error) for name, error in refused.items() if name in names}
            planned = (*(name for name in names if name in usable), *by_subject)
            waiting = set(planned)

            async def plan(name: str) -> None:
                try:
                    with bound_context(repository=name):
                        if name in by_subject:
                            made[name] = await self._make_group(client, own, by_subject[name], refused, trace_id)
                        else:
                            made[name] = await self._make(client, own, name, usable[name], trace_id)
                except SquireError as error:
                    made[name] = MadePlan(name, error=error)
                waiting.discard(name)
                self.say(f"{name}: {'planned' if made[name].error is None else 'no plan'}")

            async with self._telling_progress(waiting):
                await gather_bounded(planned, plan, limit=self.settings.collection.max_concurrent_repositories)
        return tuple(made[name] for name in (*names, *by_subject) if name in made)

    async def _make(
        self, client: GitHubClient, own: RepositorySettings, name: str, info: RepositoryInfo, trace_id: str
    ) -> MadePlan:
        if self.keep:
            return await self._make_and_keep(own, name, info, trace_id)
        settings, basis, remarks = await self._foresee(client, own, name)
        if (why := missing_consents(self.ledger, [name]).get(name)) is not None:
            remarks = (*remarks, f"nothing would be started: {why}")
        preview = await self._plan(settings, basis, info, trace_id)
        return MadePlan(name, preview, remarks=remarks)

    async def _foresee(
        self, client: GitHubClient, own: RepositorySettings, name: str
    ) -> tuple[Settings, PlanBasis, tuple[str, ...]]:
        if not self.reads:
            settings = own.of(name)
            return settings, self._recorded(settings, name), ()
        settings, problem = await settings_at_github(client, self.settings, name)
        if problem is not None:
            raise ConfigError(f"nothing is planned before this is right: {problem}")
        foresight = await foresee(client, settings, self.ledger, name)
        silent = (reading for reading in foresight.readings if not reading.status.source_answered)
        return settings, foresight.basis, tuple(f"{one.source} could not be read: {one.error}" for one in silent)

    def _recorded(self, settings: Settings, name: str) -> PlanBasis:
        with self.ledger.read() as tx:
            if not collections.latest(tx, [name]):
                raise _unread(name)
            return recorded_basis(tx, settings, name)

    async def _make_and_keep(self, own: RepositorySettings, name: str, info: RepositoryInfo, trace_id: str) -> MadePlan:
        if (why := own.stopped.get(name)) is not None:
            raise RefusedError(f"nothing is planned: {why}")
        settings = own.of(name)
        basis = self._recorded(settings, name)
        # The model first: where it gives no plan, nothing is written, no task of a request either.
        preview = await self._plan(settings, basis, info, trace_id)
        with self.ledger.write() as tx:
            created = take_requests(tx, settings, name, trace_id=trace_id)
            saved = save_plan(tx, settings, basis, preview.plan, trace_id=trace_id, run_id=None)
        with self.ledger.write() as tx:
            created += admit_plan(tx, settings, saved)
            made = tuple(tasks.get(tx, task_id) for task_id in created)
        return MadePlan(name, preview, saved=saved, created=made)

    async def _plan(self, settings: Settings, basis: PlanBasis, info: RepositoryInfo, trace_id: str) -> PlanPreview:
        plan = await plan_repository(settings, self.ledger, basis, info=info, trace_id=trace_id, fall_back=False)
        branch = info.default_branch
        with self.ledger.read() as tx:
            return preview_plan(tx, settings, basis, plan, default_branch=branch, history=self.history)

    async def _make_group(
        self,
        client: GitHubClient,
        own: RepositorySettings,
        group: PlanGroup,
        refused: Mapping[str, GitHubError],
        trace_id: str,
    ) -> MadePlan:
        for error in (refused[name] for name in group.repositories if name in refused):
            raise error
        settings_of: Callable[[str], Settings] = own.of
        read, remarks = dict[str, tuple[Signal, ...]](), list[str]()
        if self.keep:
            for name in (name for name in group.repositories if name in own.stopped):
                raise RefusedError(f"nothing is planned: {name}: {own.stopped[name]}")
        else:
            foreseen = {name: await self._foresee(client, own, name) for name in group.repositories}
            settings_of = {name: settings for name, (settings, _, _) in foreseen.items()}.__getitem__
            read = {name: basis.signals for name, (_, basis, _) in foreseen.items()}
            remarks = [f"{name}: {remark}" for name, (_, _, own_remarks) in foreseen.items() for remark in own_remarks]
            why_not = missing_consents(self.ledger, group.repositories)
            remarks += (f"{name}: nothing would be started: {why}" for name, why in why_not.items())
        with self.ledger.read() as tx:
            basis = group_basis(tx, self.settings, group, read)
        if basis.unread:
            raise _unread(*basis.unread)
        outcome = await plan_group(
            self.settings, client, self.ledger, basis, settings_of=settings_of, trace_id=trace_id, fall_back=False
        )
        with self.ledger.read() as tx:
            history = self.history
            preview = preview_group(tx, self.settings, basis, outcome, settings_of=settings_of, history=history)
        if not self.keep:
            return MadePlan(basis.subject, preview, remarks=tuple(remarks))
        with self.ledger.write() as tx:
            saved = save_group_plan(tx, self.settings, basis, outcome, trace_id=trace_id, run_id=None)
        with self.ledger.write() as tx:
            created = admit_groups_plan(tx, self.settings, group, own.of)
            made = tuple(tasks.get(tx, task_id) for task_id in created)
        return MadePlan(basis.subject, preview, saved=saved, created=made)

    @asynccontextmanager
    async def _telling_progress(self, waiting: set[str]) -> AsyncIterator[None]:
        """Say now and then what is being planned still."""
        started = time.monotonic()

        async def tell() -> None:
            while True:
                await asyncio.sleep(_PROGRESS_S)
                names = sorted(waiting)
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                self.say(f"after {time.monotonic() - started:.0f} s still planning: {', '.join(names[:_NAMED])}{more}")

        teller = asyncio.create_task(tell())
        try:
            yield
        finally:
            teller.cancel()
            with suppress(asyncio.CancelledError):
                await teller


def _unread(*names: str) -> NotFoundError:
    words = " ".join(names)
    return NotFoundError(
        f"{', '.join(names)} {'have' if len(names) > 1 else 'has'} not been read yet",
        hint=f"read first: `squire signals collect {words}`",
    )
