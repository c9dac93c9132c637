"""Planning by rules or by a model, and by the rules when the model fails, which the plan's steps and notes then say.

What kept the model from answering (its provider, a budget, a key) is no answer: the plan of the rules is then
provisional, and the model is asked again later.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from squire_pipelines.domain.duplicates import KnownWork, leave_out_duplicates, leave_out_known, open_pull_requests
from squire_pipelines.domain.plan_making import MAX_STEPS, PlanStep, StepKind
from squire_pipelines.domain.recorded_inputs import RecordedInputs
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.errors import ModelRefusedError, ModelUnavailableError, PlanBudgetError, PlanningError
from squire_pipelines.planning.context_text import MAX_CONTEXT_BYTES
from squire_pipelines.planning.digest import settings_digest, signals_digest
from squire_pipelines.planning.goal_files import read_goals
from squire_pipelines.planning.input_recording import inputs_again, record_inputs, with_facts
from squire_pipelines.planning.llm import PlanRecord, plan_by_model
from squire_pipelines.planning.plan_context import ContextReader, PlanContext
from squire_pipelines.planning.prompt import describe, prompt_version
from squire_pipelines.planning.prompt_files import PromptFiles, load_prompts
from squire_pipelines.planning.provider_turns import ask_in_turn, model_options
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.selection import PlanInputs, select
from squire_pipelines.planning.shared_answers import SharedAnswers, question_key
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.goals import goals_for
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider

_NO_ANSWER = (ModelUnavailableError, ModelRefusedError, PlanBudgetError)


async def make_plan(
    settings: Settings,
    repository: str,
    signals: Sequence[Signal],
    *,
    default_branch: str | None,
    covered: Collection[str],
    find_key: Callable[[str], Secret | None],
    on_call: Callable[[ModelCall], None],
    reserve: Callable[[ModelProvider], int | None],
    shared: SharedAnswers | None = None,
    known_work: Sequence[KnownWork] = (),
    read_context: ContextReader | None = None,
    fall_back: bool = True,
) -> Plan:
    """Plan one repository with the planner that the settings name.

    `auto` asks a model when one is set. A model is not asked when there is nothing to plan: no signal that may become
    a task, and no goals. When it gives no usable plan the rules plan instead, and the plan's first note says why; the
    plan is provisional when the model did not come to answer. Whoever planned, a task that repeats known work or an
    open pull request is left out.

    Args:
        settings: `planner`, and the repository's overrides.
        repository: See `PlanInputs`, also for the next three.
        signals: All of the repository.
        default_branch: Of the repository.
        covered: Refs of signals.
        find_key: Finds a provider's key by its name; called only when a model is asked.
        on_call: Called with each conversation with a model, of which each provider that is asked has one.
        reserve: Called before each. Gives the most tokens that it may use, None for any number; raises PlanBudgetError
            when the budget has no room for it.
        shared: Has the answers to questions that were asked before, and knows who asks now; None asks always.
        known_work: Tasks of the repository that a new one must not repeat.
        read_context: Reads what is known of the repository; called once, and only when a model is asked. What it cannot
            read keeps nobody from planning.
        fall_back: Whether the rules plan when a model gives no usable plan.

    Raises:
        ConfigError: A model is to be asked, and a file of the prompt or of goals cannot be used.
        PlanningError: A model gave no usable plan, and the rules are not to plan in its place.
    """
    planner = settings.planner
    inputs = PlanInputs(
        repository,
        signals,
        default_branch,
        settings.issue_labels_for(repository),
        covered,
        planner.max_tasks,
        settings.filters_for(repository).rules,
        planner.task_bounds,
        settings.policy_for(repository).protected_paths,
        branch_prefix=settings.publishing.branch_prefix,
    )
    sources = Sources(find_key, on_call, reserve, shared, read_context)
    plan = await _plan(settings, inputs, sources, fall_back=fall_back)
    return leave_out_duplicates(plan, (*known_work, *open_pull_requests(signals)))


async def plan_again(
    settings: Settings,
    recorded: RecordedInputs,
    *,
    find_key: Callable[[str], Secret | None],
    on_call: Callable[[ModelCall], None],
    reserve: Callable[[ModelProvider], int | None],
    shared: SharedAnswers | None = None,
) -> Plan:
    """Have the model of the settings plan from what an earlier plan was made from; see `make_plan`.

    Raises:
        ConfigError: A file of the prompt cannot be used.
        PlanningError: The model gave no usable plan.
    """

    async def read_context() -> PlanContext:
        return PlanContext(recorded.contexts, settings.planner.context_bytes or MAX_CONTEXT_BYTES)

    inputs = inputs_again(recorded)
    sources = Sources(find_key, on_call, reserve, shared, read_context if recorded.contexts else None)
    by_rules = plan_by_rules(inputs).model_copy(update={"inputs": recorded})
    plan = await ask_model(settings, inputs, by_rules, sources, goals=recorded.goals, fall_back=False)
    return leave_out_known(plan, inputs.open_pull_requests)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where keys, room in budgets, answers and the repository's context come from; see `make_plan`."""

    find_key: Callable[[str], Secret | None]
    on_call: Callable[[ModelCall], None]
    reserve: Callable[[ModelProvider], int | None]
    shared: SharedAnswers | None
    read_context: ContextReader | None = None


async def _plan(settings: Settings, inputs: PlanInputs, sources: Sources, *, fall_back: bool) -> Plan:
    planner, selection = settings.planner, select(inputs)
    made_by = {"settings_digest": settings_digest(settings, inputs.repository)}
    by_rules = plan_by_rules(inputs).model_copy(update={**made_by, "inputs": record_inputs(inputs, selection)})
    if planner.kind == "rules" or planner.model is None:
        return by_rules
    if inputs.default_branch is None:
        return by_rules
    goals = read_goals(goals_for(settings, inputs.repository))
    if not (selection.candidates or goals):
        return by_rules
    return await ask_model(settings, inputs, by_rules, sources, goals=goals, fall_back=fall_back)


async def ask_model(
    settings: Settings, inputs: PlanInputs, by_rules: Plan, sources: Sources, *, goals: str, fall_back: bool
) -> Plan:
    """Have a model plan, and the rules where it gives no plan and they may. Raises PlanningError."""
    record, context = PlanRecord(), None

    def count(call: ModelCall) -> None:
        record.calls.append(call)
        sources.on_call(call)

    try:
        prompts = load_prompts(settings.planner.prompts)
        context = await _read(sources.read_context, record)
        find_key, reserve, shared = sources.find_key, sources.reserve, sources.shared
        asking = _Asking(settings, inputs, goals, find_key, count, reserve, record, prompts, context)
        plan = await (_ask_in_turn(asking) if shared is None else _ask_once(asking, shared))
    except PlanningError as error:
        if not fall_back:
            raise
        reason = one_line(str(error), 600)
        note = f"planned by rules, since the model failed ({error.code}): {reason}"
        record.steps.append(PlanStep(kind=StepKind.RULES, taken=True, reason=reason))
        plan = by_rules.model_copy(
            update={
                "notes": (note, *by_rules.notes),
                "model_failed": True,
                "provisional": isinstance(error, _NO_ANSWER),
            }
        )
    return plan.model_copy(
        update={
            "steps": tuple(record.steps[:MAX_STEPS]),
            "use": record.use(),
            "refused": tuple(record.refused[:MAX_STEPS]),
            "settings_digest": by_rules.settings_digest,
            "inputs": with_facts(by_rules.inputs, goals, context.repositories if context is not None else ()),
        }
    )


async def _read(read_context: ContextReader | None, record: PlanRecord) -> PlanContext | None:
    """Read what is known, with a step for each repository: which commit that is of, or why there is none."""
    if read_context is None:
        return None
    context = await read_context()
    for known in context.repositories:
        name = f"{known.repository}: " if len(context.repositories) > 1 else ""
        code, why_not = known.code, one_line(known.why_no_code, 600)
        reason = f"{code.branch} at {code.sha[:12]}" if code is not None else why_not
        record.steps.append(PlanStep(kind=StepKind.CONTEXT, taken=code is not None, reason=f"{name}{reason}"))
    return context


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the providers are asked with; see `make_plan`."""

    settings: Settings
    inputs: PlanInputs
    goals: str
    find_key: Callable[[str], Secret | None]
    on_call: Callable[[ModelCall], None]
    reserve: Callable[[ModelProvider], int | None]
    record: PlanRecord
    prompts: PromptFiles
    context: PlanContext | None


async def _ask_once(asking: _Asking, shared: SharedAnswers) -> Plan:
    """Take the answer to the same question where there is one, or somebody asks for it now; else ask in turn.

    What the plan says of facts that the model was not offered is said of those of now. Raises as `_ask_in_turn` does.
    """
    inputs, planner, selection = asking.inputs, asking.settings.planner, select(asking.inputs)
    # An installation's own question may leave these out, and the answer is checked by them.
    heads = asking.context.heads if asking.context is not None else {}
    members = ((member.repository, member.default_branch, member.protected_paths) for member in inputs.members)
    basis = (
        inputs.repository,
        inputs.default_branch,
        heads,
        inputs.max_tasks,
        inputs.bounds,
        asking.goals,
        inputs.protected_paths,
        *members,
    )
    asked = describe(inputs, selection, asking.prompts, goals=asking.goals, context=asking.context)
    question = f"{asking.prompts.system}\n{asked}\n{basis}"
    providers = [provider.name for provider in asking.settings.planner_providers()]
    whose = asking.settings.tenant_of(inputs.repository)
    if whose != DEFAULT_TENANT:  # what one tenant's key has paid for is no other's
        question = f"{whose}\n{question}"
    key = question_key(prompt_version(asking.prompts), f"{planner.model} {planner.context_tokens}", providers, question)
    own_notes = len(selection.notes)

    async def ask() -> Plan:
        plan = await _ask_in_turn(asking)
        return plan.model_copy(update={"notes": plan.notes[: len(plan.notes) - own_notes]})

    plan, is_hit = await shared.get(key, ask, providers=len(providers))
    if is_hit:
        step = PlanStep(kind=StepKind.CACHE, taken=True, reason="the same was asked before", provider=plan.provider)
        asking.record.steps.append(step)
        asking.record.cache_hit = True
    current = {"notes": (*plan.notes, *selection.notes), "signals_digest": signals_digest(inputs.signals), "steps": ()}
    return plan.model_copy(update=current)


async def _ask_in_turn(asking: _Asking) -> Plan:
    """Ask one provider after another until one begins to answer; the plan's notes say why others were left.

    What a model answers is its own: a plan that stays wrong is no reason to ask another one.

    Raises:
        ModelRefusedError: All providers refuse what only the user can change.
        PlanningError: None gave a usable plan.
    """
    inputs = asking.inputs
    drawn_for = f"{inputs.repository} {signals_digest(inputs.signals)}"
    plan, failures = await ask_in_turn(asking.settings.planner_providers(drawn_for), partial(_ask_one, asking))
    left = (f"the provider {name} was left: {one_line(str(error), 600)}" for name, error in failures.items())
    return plan.model_copy(update={"notes": (*left, *plan.notes)})


async def _ask_one(asking: _Asking, provider: ModelProvider) -> Plan:
    """Have one provider's model plan. Raises PlanningError, also when a budget has no room for it."""
    try:
        options = model_options(
            asking.settings,
            provider,
            find_key=asking.find_key,
            reserve=asking.reserve,
            goals=asking.goals,
            context=asking.context,
            prompts=asking.prompts,
        )
        return await plan_by_model(asking.inputs, options, on_call=asking.on_call, record=asking.record)
    except (ModelRefusedError, ModelUnavailableError) as error:
        if not any(step.provider == provider.name for step in asking.record.steps):
            step = PlanStep(kind=StepKind.ASK, taken=False, reason=error.message, provider=provider.name)
            asking.record.steps.append(step)
        raise
