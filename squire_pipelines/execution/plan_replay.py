"""Plans again from what an earlier plan was made from, by another model or prompt; only what that costs is saved."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.plan_comparison import TaskComparison, compare_plans
from squire_pipelines.domain.provider_faults import CORRECT_MODEL
from squire_pipelines.domain.recorded_inputs import RecordedInputs
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import ConfigError, PlanningError
from squire_pipelines.ledger import plan_inputs, plans
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.planner import plan_again
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.errors import config_error
from squire_pipelines.settings.model import Settings

_ANOTHER = "name another one: `--model NAME`, or with its provider `--model PROVIDER:NAME`, as `openai:gpt-5`"


@dataclass(frozen=True, slots=True)
class ReplayedPlan:
    """A plan that was made again from the same inputs, and how it differs; `inputs` may have been shortened."""

    before: SavedPlan
    inputs: RecordedInputs
    after: Plan

    @property
    def differences(self) -> tuple[TaskComparison, ...]:
        """Each task of either plan."""
        return compare_plans(self.before.plan.tasks, self.after.tasks)


async def replay_plan(
    settings: Settings, ledger: Ledger, plan_id: str, *, model: str | None = None, prompts: Path | None = None
) -> ReplayedPlan:
    """Have a model plan again from what a plan was made from.

    What the tree had at that time is not read again, so that paths in tasks are not checked. The answer to the same
    question is taken where it was asked before.

    Args:
        settings: Those that hold in the plan's repository.
        ledger: Has the plan, and the budgets.
        plan_id: Of the earlier plan.
        model: In place of the settings'.
        prompts: A folder with files of the prompt, in place of the settings'.

    Raises:
        NotFoundError: There is no such plan, or what it was made from is not kept.
        ConfigError: No model is set or named, it cannot be one, or a file of the prompt cannot be used.
        PlanningError: The model gave no usable plan.
    """
    with ledger.read() as tx:
        before = plans.get(tx, plan_id)
        inputs = plan_inputs.of_plan(tx, plan_id)
    own = settings.model_copy(update={"planner": _planner(settings.planner, model, prompts)})
    account = PlanAccount(ledger, own, inputs.repository, trace_id=new_trace_id())
    try:
        after = await plan_again(
            own,
            inputs,
            find_key=partial(find_secret, sources=own.secret_sources),
            on_call=account.settle,
            reserve=account.reserve,
            shared=SharedAnswers(ledger, own.planner),
        )
    except PlanningError as error:
        if model is not None and error.hint:
            error.hint = error.hint.replace(CORRECT_MODEL, _ANOTHER)
        raise
    return ReplayedPlan(before, inputs, after)


def _planner(planner: PlannerSettings, model: str | None, prompts: Path | None) -> PlannerSettings:
    """Return the settings of the planner with another model or prompt. Raises ConfigError."""
    name = model or planner.model
    if name is None:
        raise ConfigError(
            "no model is set that could plan again", hint="name one: `squire plans replay ID --model NAME`"
        )
    changes = {"kind": "llm", "model": name, "prompts": prompts or planner.prompts}
    try:
        return PlannerSettings.model_validate(planner.model_dump() | changes)
    except ValidationError as error:
        failure = config_error(PlannerSettings, error, "[planner]")
        if model is not None:
            failure.hint = _ANOTHER
        raise failure from error
