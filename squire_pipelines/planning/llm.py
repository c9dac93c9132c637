"""The planner that asks a model, on pydantic-ai. Its answer is checked like any plan, and errors are fed back to it.

pydantic-ai takes seconds to import, so that it is imported where it is used. What is asked stands in `prompt`, what
may be answered in `schema`.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.planning.prompt import INSTRUCTIONS, describe, prompt_version, validation_feedback
from squire_pipelines.planning.protected_paths import requestable
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.schema import ModelCall, PlanDraft, branches_of, check_draft
from squire_pipelines.planning.selection import Selection, select

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.providers import Provider
    from pydantic_ai.usage import RunUsage

MAX_OUTPUT_TOKENS = 32_000
_OPENAI_PREFIXES = ("openai:", "openai-chat:")


async def plan_by_model(
    repository: str,
    signals: Sequence[Signal],
    *,
    default_branch: str | None,
    issue_labels: Collection[str],
    covered: Collection[str],
    max_tasks: int,
    model: "str | Model",
    base_url: str | None,
    api_key: str | None,
    goals: str,
    timeout_s: float,
    max_retries: int,
    on_call: Callable[[ModelCall], None],
    max_tokens: int | None = None,
) -> Plan:
    """Have a model plan one repository.

    Args:
        repository: `owner/name`.
        signals: All current signals; only those that `selection.select` lets through are offered.
        default_branch: None for an empty repository.
        issue_labels: See `plan_by_rules`.
        covered: See `plan_by_rules`.
        max_tasks: Most tasks in the plan.
        model: `provider:model` as pydantic-ai names it; with `base_url` the model's name at that endpoint.
        base_url: Any endpoint that speaks OpenAI's chat completions, such as `http://127.0.0.1:11434/v1`.
        api_key: None where the endpoint needs none, or where the provider finds one by itself.
        goals: What the owner wants done beyond the signals; may be empty.
        timeout_s: For the whole conversation.
        max_retries: How often a wrong answer is sent back.
        on_call: Is told what the conversation cost, once, also when it failed.
        max_tokens: Of the whole conversation, input and output; None for any number.

    Raises:
        PlanningError: No usable plan: the model cannot be reached or used, gave no valid answer, or took too long.
    """
    from pydantic_ai.usage import RunUsage  # noqa: PLC0415 - see the module's charter

    selection = select(signals, default_branch=default_branch, issue_labels=issue_labels, covered=covered)
    name = model if isinstance(model, str) else model.model_name
    planner = f"llm:{name}"
    digest = signals_digest(signals)
    branches = branches_of(selection, default_branch)

    def as_plan(draft: PlanDraft) -> Plan:
        return Plan(
            repository=repository,
            planner=planner,
            signals_digest=digest,
            tasks=tuple(_with_permitted_paths(task, selection) for task in draft.tasks),
            notes=(*draft.notes, *selection.notes),
            model=name,
            prompt_version=prompt_version(),
        )

    def objection(draft: PlanDraft) -> str | None:
        findings = check_draft(
            as_plan(draft), selection=selection, branches=branches, max_tasks=max_tasks, free=bool(goals.strip())
        )
        return validation_feedback(findings) if findings else None

    usage = RunUsage()
    started = time.monotonic()
    trouble = "interrupted"
    try:
        draft = await _converse(
            _built(model, base_url, api_key),
            describe(repository, selection, default_branch=default_branch, goals=goals, max_tasks=max_tasks),
            objection=objection,
            usage=usage,
            timeout_s=timeout_s,
            max_retries=max_retries,
            max_tokens=max_tokens,
        )
    except PlanningError as error:
        trouble = _without(api_key, error.message)
        message = f"the model {name} gave no usable plan for {repository}: {trouble}"
        context = {"repository": repository, "model": name, "requests": usage.requests}
        # The cause is dropped: a provider's error may quote the key or the prompt.
        raise PlanningError(message, hint=error.hint, context=context) from None
    else:
        trouble = ""
        return as_plan(draft)
    finally:
        on_call(
            ModelCall(
                planner=planner,
                model=name,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=float(usage.cost) if usage.cost is not None else None,
                latency_s=time.monotonic() - started,
                ok=not trouble,
                error=trouble,
            )
        )


def _with_permitted_paths(task: TaskSpec, selection: Selection) -> TaskSpec:
    """Return the task with the protected paths that its facts permit: the model has read strangers' texts."""
    facts = [each.signal.details for each in selection.candidates if each.signal.ref in task.signals]
    return task.model_copy(update={"allow_protected": requestable(task.kind, facts)})


def _built(model: "str | Model", base_url: str | None, api_key: str | None) -> "Model":
    """The model to ask. Raises PlanningError when there is no such provider, or it lacks something."""
    if not isinstance(model, str):
        return model
    from pydantic_ai.exceptions import UserError  # noqa: PLC0415 - see the module's charter

    try:
        if base_url is not None:
            return _compatible(model, base_url, api_key)
        return _inferred(model, api_key)
    except (UserError, ImportError, ValueError, TypeError) as error:
        hint = "check `planner.model` (provider:model) and the key: `squire secrets set model-key`"
        raise PlanningError(f"it cannot be used: {_brief(error)}", hint=hint) from error


def _compatible(model: str, base_url: str, api_key: str | None) -> "Model":
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - see the module's charter
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider  # noqa: PLC0415 - likewise

    # urlsplit raises ValueError for a host or port that is none, which httpx2 would tell by an error of its own.
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise PlanningError(
            f"planner.base_url = {base_url!r} is not an http(s) URL", hint="use the form http://HOST:PORT/v1"
        )
    name = model
    for prefix in _OPENAI_PREFIXES:
        name = name.removeprefix(prefix)
    return OpenAIChatModel(name, provider=OpenAICompatibleProvider("custom", base_url=base_url, api_key=api_key))


def _inferred(model: str, api_key: str | None) -> "Model":
    from pydantic_ai.models import infer_model  # noqa: PLC0415 - see the module's charter
    from pydantic_ai.providers import infer_provider, infer_provider_class  # noqa: PLC0415 - likewise

    def provider(name: str) -> "Provider[Any]":
        if api_key is None:
            return infer_provider(name)
        # Every provider that takes a key takes it under this name; one that takes none says so by a TypeError.
        kind: Any = infer_provider_class(name)
        made: Provider[Any] = kind(api_key=api_key)
        return made

    return infer_model(model, provider_factory=provider)


async def _converse(
    model: "Model",
    question: str,
    *,
    objection: Callable[[PlanDraft], str | None],
    usage: "RunUsage",
    timeout_s: float,
    max_retries: int,
    max_tokens: int | None,
) -> PlanDraft:
    """Ask until the answer stands. Raises PlanningError."""
    from pydantic_ai import Agent, ModelRetry, ModelSettings  # noqa: PLC0415 - see the module's charter
    from pydantic_ai.exceptions import AgentRunError, UserError  # noqa: PLC0415 - likewise
    from pydantic_ai.usage import UsageLimits  # noqa: PLC0415 - likewise

    agent: Agent[object, PlanDraft] = Agent(
        model,
        output_type=PlanDraft,
        instructions=INSTRUCTIONS,
        retries=max_retries,
        model_settings=ModelSettings(max_tokens=MAX_OUTPUT_TOKENS, timeout=timeout_s),
        name="planner",
    )

    @agent.output_validator
    def checked(draft: PlanDraft) -> PlanDraft:
        if (wrong := objection(draft)) is not None:
            raise ModelRetry(wrong)
        return draft

    try:
        async with asyncio.timeout(timeout_s), model:
            limits = UsageLimits(request_limit=max_retries + 1, total_tokens_limit=max_tokens)
            result = await agent.run(question, usage=usage, usage_limits=limits)
    except TimeoutError as error:
        raise PlanningError(
            f"no plan within {timeout_s:g} s", hint="raise `planner.timeout_s`, or take a faster model"
        ) from error
    except (AgentRunError, UserError) as error:
        hint = "check `planner.model`, `planner.base_url` and the key `model-key`"
        raise PlanningError(_brief(error), hint=hint) from error
    return result.output


def _brief(error: BaseException) -> str:
    """The error with the cause that pydantic-ai gives it, on one line."""
    texts = [f"{type(error).__name__}: {error}"]
    if error.__cause__ is not None:
        texts.append(str(error.__cause__))
    return one_line("; ".join(texts), 600)


def _without(secret: str | None, text: str) -> str:
    return text.replace(secret, "***") if secret else text
