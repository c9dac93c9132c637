"""Plans for `squire plans make`: repositories side by side, each planned once, saved or only shown."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from squire_pipelines.assets.concurrency import gather_bounded
from squire_pipelines.domain.cost_prediction import CostHistory
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError, NotFoundError, RefusedError, SquireError
from squire_pipelines.execution.plan_preview import PlanPreview, preview_plan
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
from squire_pipelines.settings.model import Settings

_PROGRESS_S = 10.0
_NAMED = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MadePlan:
    """What became of one repository: a preview, or an error.

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
    """Plans repositories.

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

    def make(self, names: Sequence[str]) -> tuple[MadePlan, ...]:
        """Plan these repositories, at most `collection.max_concurrent_repositories` at once.

        What goes wrong with one is in its result, and the others go on. Raises GitHubError when none can be used.
        """
        return asyncio.run(self._make_all(names))

    async def _make_all(self, names: Sequence[str]) -> tuple[MadePlan, ...]:
        trace_id = new_trace_id()
        own = repository_settings(self.ledger, self.settings)
        async with open_client(self.settings, self.ledger) as client:
            usable, refused = await ask_about(client, self.ledger, names)
            made = {name: MadePlan(name, error=error) for name, error in refused.items()}
            waiting = set(usable)

            async def plan(name: str) -> None:
                try:
                    with bound_context(repository=name):
                        made[name] = await self._make(client, own, name, usable[name], trace_id)
                except SquireError as error:
                    made[name] = MadePlan(name, error=error)
                waiting.discard(name)
                self.say(f"{name}: {'planned' if made[name].error is None else 'no plan'}")

            async with self._telling_progress(waiting):
                await gather_bounded(usable, plan, limit=self.settings.collection.max_concurrent_repositories)
        return tuple(made[name] for name in names if name in made)

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
                raise NotFoundError(
                    f"{name} has not been read yet", hint=f"read it first: `squire signals collect {name}`"
                )
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

    @asynccontextmanager
    async def _telling_progress(self, waiting: set[str]) -> AsyncIterator[None]:
        """Say now and then which repositories are being planned still."""
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
