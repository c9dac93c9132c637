"""One question to a model is asked once: by one process, while others wait, and not again while its answer is kept."""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from squire_pipelines import __version__
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.plan_making import CacheState
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import ModelRefusedError, ModelUnavailableError, PlanBudgetError, PlanningError
from squire_pipelines.ledger import plan_cache
from squire_pipelines.ledger.plan_cache import CacheEntry
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.sections.services import PlannerSettings

_GRACE_S = 30.0
"""Beyond the conversations' own limits, until a claim ends by itself."""

_TOLD_FOR = timedelta(seconds=30)
_FIRST_LOOK_S = 0.05
_LONGEST_LOOK_S = 1.0
_MAX_ERROR = 2_000
_MAX_PLAN_CHARS = 2_000_000
_ERRORS: dict[str, type[PlanningError]] = {
    error.code: error for error in (ModelUnavailableError, ModelRefusedError, PlanBudgetError)
}


@dataclass(frozen=True, slots=True)
class SharedAnswers:
    """The answers that all processes of one ledger share.

    Args:
        ledger: Has them.
        planner: How long and how many are kept.
        fresh: Whether an answer that is there does not count; one that is being asked for does.
    """

    ledger: Ledger
    planner: PlannerSettings
    fresh: bool = False

    async def get(self, key: str, ask: Callable[[], Awaitable[Plan]], *, providers: int) -> tuple[Plan, bool]:
        """Return the plan that answers a question, and whether it was there or somebody else asked for it.

        Args:
            key: Of the question, see `question_key`.
            ask: Asks; called at most once.
            providers: How many may be asked one after another, each within its time limit.

        Raises:
            PlanningError: Nobody could answer; of the same type for those who waited.
        """
        limit_s = self.planner.timeout_s * max(providers, 1) + _GRACE_S
        holder, deadline = new_trace_id(), time.monotonic() + 2 * limit_s
        fresh = self.fresh
        while time.monotonic() < deadline:
            entry = self._claim(key, holder, timedelta(seconds=limit_s), fresh=fresh)
            if entry.plan is not None:
                metrics.count(families.PLAN_ANSWERS, "kept")
                return entry.plan, True
            if entry.holder == holder:
                metrics.count(families.PLAN_ANSWERS, "asked")
                return await self._ask(key, holder, ask), False
            fresh = False  # what comes now was asked for after this began
            if (plan := await self._wait(key, entry, deadline)) is not None:
                metrics.count(families.PLAN_ANSWERS, "kept")
                return plan, True
        raise ModelUnavailableError(
            "others asked the same and did not end in time", hint="the model is asked again later by itself"
        )

    def _claim(self, key: str, holder: str, lease: timedelta, *, fresh: bool) -> CacheEntry:
        if not fresh:
            with self.ledger.read() as tx:
                entry = plan_cache.look_up(tx, key)
            if entry is not None and entry.plan is not None:
                return entry
        with self.ledger.write() as tx:
            return plan_cache.claim(tx, key, holder, lease, fresh=fresh)

    async def _ask(self, key: str, holder: str, ask: Callable[[], Awaitable[Plan]]) -> Plan:
        settled = False
        try:
            plan = await ask()
            if len(plan.model_dump_json()) <= _MAX_PLAN_CHARS:
                ttl = timedelta(seconds=self.planner.cache_ttl_s)
                with self.ledger.write() as tx:
                    plan_cache.settle(tx, key, holder, plan, ttl=ttl, max_entries=self.planner.cache_entries)
                settled = True
        except PlanningError as error:
            text = error.message[:_MAX_ERROR]
            with self.ledger.write() as tx:
                plan_cache.fail(tx, key, holder, code=error.code, error=text, hint=error.hint, told_for=_TOLD_FOR)
            settled = True
            raise
        finally:
            if not settled:  # interrupted: somebody else may ask
                with self.ledger.write() as tx:
                    plan_cache.release(tx, key, holder)
        return plan

    async def _wait(self, key: str, waited_for: CacheEntry, deadline: float) -> Plan | None:
        """Wait for the one who asks; None when somebody has to ask anew. Raises PlanningError when it failed."""
        pause_s = _FIRST_LOOK_S
        while time.monotonic() < deadline:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_LOOK_S)
            with self.ledger.read() as tx:
                entry = plan_cache.look_up(tx, key)
            if entry is None:
                return None
            if entry.plan is not None:
                return entry.plan
            if entry.state is CacheState.FAILED and entry.holder == waited_for.holder:
                raise _ERRORS.get(entry.error_code, PlanningError)(entry.error, hint=entry.hint)
        return None


def question_key(prompt_version: str, model: str, providers: list[str], question: str) -> str:
    """Return the key of one question: it changes with the prompt, the model, and all that the model would read."""
    parts = [__version__, prompt_version, model, sorted(providers), question]
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()
