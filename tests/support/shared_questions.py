"""Those who ask a model the same question at once or one after another: of one process, or of many."""

import asyncio
from dataclasses import dataclass
from typing import Any

from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.planning.plan_context import ContextReader
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.forked import processes
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.signal_samples import issue
from tests.support.task_drafts import task_draft

_PATIENCE_S = 120


def answer(key: str = "fix") -> Turn:
    """Return a plan of one task with this key."""
    form = {"tasks": [task_draft(key=key, title=key)], "notes": ["easy"]}
    return Turn(calls=(Call("final_result", form),), prompt_tokens=1000)


@dataclass
class Asker:
    """Asks for one plan as any process of one ledger does."""

    ledger: Ledger
    url: str
    read_context: ContextReader | None = None

    async def plan(
        self,
        *signals: Signal,
        repository: str = "o/r",
        fresh: bool = False,
        calls: list[ModelCall] | None = None,
        **own: Any,
    ) -> Plan:
        """Plan one repository; `own` are settings of the planner, and `calls` get the conversations."""
        planner = PlannerSettings(model="local-model", base_url=self.url, timeout_s=20, **own)
        return await make_plan(
            Settings(planner=planner),
            repository,
            signals or [issue(10)],
            default_branch="main",
            covered=frozenset(),
            find_key=lambda _name: None,
            on_call=(calls if calls is not None else []).append,
            reserve=lambda _provider: None,
            shared=SharedAnswers(self.ledger, planner, fresh=fresh),
            read_context=self.read_context,
        )


def keys(plan: Plan) -> list[str]:
    """Return the keys of a plan's tasks."""
    return [task.key for task in plan.tasks]


@dataclass(frozen=True)
class Made:
    """What processes got that asked at once: requests to the model, and of each its tasks and whether it asked."""

    calls: int
    tasks: list[list[str]]
    hits: list[bool]


def _ask_in_a_process(ledger_url: str, url: str, results: Any) -> None:
    ledger = open_ledger(ledger_url)
    plan = asyncio.run(Asker(ledger, url).plan())
    results.put((keys(plan), plan.use is not None and plan.use.cache_hit))


def ask_in_processes(ledger_url: str, count: int) -> Made:
    """Have so many processes of one ledger, which is there, ask one question at once."""
    results = processes.Queue()
    with ModelServer([answer()], delay_s=1) as server:
        children = [
            processes.Process(target=_ask_in_a_process, args=(ledger_url, server.url, results), daemon=True)
            for _ in range(count)
        ]
        for child in children:
            child.start()
        made = [results.get(timeout=_PATIENCE_S) for _ in children]
        for child in children:
            child.join(timeout=_PATIENCE_S)
        return Made(len(server.main_requests), [tasks for tasks, _ in made], [hit for _, hit in made])
