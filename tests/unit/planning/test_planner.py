import subprocess
import sys
from typing import Any

import pytest

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import PlanBudgetError
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider
from tests.support.signal_samples import failed_check, issue

pytestmark = pytest.mark.anyio


def no_key(_name: str) -> Secret | None:
    return None


async def make(settings: Settings, *signals: Any, calls: list[ModelCall] | None = None, **options: Any) -> Plan:
    arguments: dict[str, Any] = {"default_branch": "main", "covered": frozenset(), "find_key": no_key}
    arguments |= {"reserve": lambda _provider: None, **options}
    return await make_plan(settings, "o/r", signals, on_call=(calls if calls is not None else []).append, **arguments)


def settings(**planner: Any) -> Settings:
    return Settings(planner=PlannerSettings(**planner))


@pytest.mark.parametrize("options", [{}, {"kind": "rules", "model": "openai:gpt-5"}])
async def test_rules_plan_when_no_model_is_set_or_they_are_chosen(options: dict[str, Any]) -> None:
    calls: list[ModelCall] = []
    got = await make(settings(**options), issue(10), calls=calls)
    assert (got.planner, len(got.tasks), got.notes, calls) == ("rules", 1, (), [])


@pytest.mark.parametrize("kind", ["auto", "llm"])
async def test_rules_take_over_from_a_model_that_fails_and_the_plan_says_so(kind: str) -> None:
    calls: list[ModelCall] = []
    got = await make(settings(kind=kind, model="no-such-provider:m"), issue(10), calls=calls)
    assert (got.planner, len(got.tasks)) == ("rules", 1)
    assert got.notes[0].startswith("planned by rules, since the model failed (configuration): ")
    assert "no-such-provider" in got.notes[0]
    assert [call.ok for call in calls] == [False]


async def test_a_model_that_cannot_be_used_leaves_a_provisional_plan_with_its_steps() -> None:
    got = await make(settings(model="no-such-provider:m"), issue(10))
    assert (got.provisional, got.model_failed, got.model) == (True, True, None)
    assert [(step.kind, step.taken) for step in got.steps] == [("ask", False), ("rules", True)]
    assert all(step.reason for step in got.steps)
    assert got.use is not None
    assert (got.use.asks, got.use.cost_usd) == (0, None)


async def test_a_budget_without_room_leaves_a_provisional_plan_and_no_model_is_asked() -> None:
    def reserve(_provider: ModelProvider) -> int | None:
        raise PlanBudgetError("the day has no room for a plan")

    calls: list[ModelCall] = []
    got = await make(settings(model="no-such-provider:m"), issue(10), reserve=reserve, calls=calls)
    assert (got.planner, got.provisional, calls) == ("rules", True, [])
    assert "planned by rules, since the model failed (budget)" in got.notes[0]


async def test_a_plan_of_the_rules_alone_is_not_provisional() -> None:
    got = await make(settings(), issue(10))
    assert (got.provisional, got.model_failed, got.steps, got.use) == (False, False, (), None)
    assert got.settings_digest


async def test_model_is_not_asked_when_there_is_nothing_to_plan() -> None:
    def forbidden(_name: str) -> Secret | None:
        raise AssertionError

    own = settings(model="no-such-provider:m")
    got = await make(own, issue(10, labels=()), find_key=forbidden)
    assert (got.planner, got.tasks, got.notes) == ("rules", (), ())
    got = await make(own, issue(10), find_key=forbidden, default_branch=None)
    assert got.planner == "rules"


async def test_goals_alone_are_a_reason_to_ask_the_model() -> None:
    calls: list[ModelCall] = []
    await make(settings(model="no-such-provider:m", goals="Write docs."), calls=calls)
    assert len(calls) == 1


async def test_repositorys_own_labels_and_limit_are_used() -> None:
    settings = Settings(
        repositories=("o/r",),
        planner=PlannerSettings(max_tasks=1),
        repository={"o/r": RepositoryOverrides(issue_labels=("bug",))},
    )
    got = await make(settings, issue(10, labels=("bug",)), issue(11, labels=("squire",)), failed_check())
    assert [task.key.partition("-")[0] for task in got.tasks] == ["fix"]
    assert "issue-10" in got.notes[0]


@pytest.mark.slow
def test_planners_are_imported_without_pydantic_ai() -> None:
    code = "import sys, squire_pipelines.planning.planner; sys.exit('pydantic_ai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
