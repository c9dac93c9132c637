"""One provider of models after another, until one begins to answer, and the options with which each is asked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from squire_pipelines.errors import ModelRefusedError, ModelUnavailableError
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.token_limits import known_context
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider

NoAnswer = ModelRefusedError | ModelUnavailableError
_T = TypeVar("_T")


async def ask_in_turn(
    providers: Sequence[ModelProvider], ask: Callable[[ModelProvider], Awaitable[_T]]
) -> tuple[_T, dict[str, NoAnswer]]:
    """Return the first answer, and why the providers before it were left.

    What a model answers is its own: an answer that stays wrong is no reason to ask another one.

    Args:
        providers: In the order in which they are asked.
        ask: Asks one. Raises PlanningError.

    Raises:
        ModelRefusedError: All providers refuse what only the user can change.
        PlanningError: None gave an answer that could be taken.
    """
    failures: dict[str, NoAnswer] = {}
    for provider in providers:
        try:
            return await ask(provider), failures
        except (ModelRefusedError, ModelUnavailableError) as error:
            failures[provider.name] = error
    errors = tuple(failures.values())
    if len(errors) == 1:
        raise errors[0]
    passing = any(isinstance(error, ModelUnavailableError) for error in errors)
    message = "; ".join(f"{name}: {error.message}" for name, error in failures.items())
    hint = "; ".join(dict.fromkeys(error.hint for error in errors if error.hint))
    raise (ModelUnavailableError if passing else ModelRefusedError)(message, hint=hint)


def model_options(
    settings: Settings,
    provider: ModelProvider,
    *,
    find_key: Callable[[str], Secret | None],
    reserve: Callable[[ModelProvider], int | None],
    **further: Any,
) -> ModelOptions:
    """Return with what a provider's model is asked, for which the conversation is reserved now.

    Args:
        settings: `planner` names the model and its limits.
        provider: Whose model.
        find_key: Finds its key by name.
        reserve: Returns the most tokens that the conversation may use.
        further: What the options have besides.

    Raises:
        ModelRefusedError: The key cannot be used.
        PlanningError: A budget has no room.
    """
    planner = settings.planner
    model, key = planner.model or "", find_key(provider.secret)
    if (fault := provider.key_fault(key.reveal() if key is not None else None)) is not None:
        raise ModelRefusedError(fault.message, hint=fault.hint)
    name = provider.aliases.get(model, model)
    return ModelOptions(
        name,
        provider=provider,
        api_key=key.reveal() if key is not None else None,
        timeout_s=planner.timeout_s,
        max_retries=planner.max_retries,
        max_tokens=reserve(provider),
        context_tokens=planner.context_tokens or known_context(name),
        **further,
    )
