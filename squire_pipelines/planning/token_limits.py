"""How long a question and an answer may be for one model, by what it reads and answers together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

MAX_OUTPUT_TOKENS = 32_000
"""Of one answer, where neither the provider's limit, the model's own nor its context is smaller."""

_OUTPUT_TOKENS: Mapping[str, int] = MappingProxyType(
    {
        "gpt-3.5-turbo": 4_096,
        "gpt-4": 8_192,
        "gpt-4-turbo": 4_096,
        "gpt-4o": 16_384,
        "gpt-4o-2024-05-13": 4_096,
        "gpt-4.1": MAX_OUTPUT_TOKENS,
        "gpt-4.5": 16_384,
        "claude-3-haiku": 4_096,
        "claude-3-opus": 4_096,
        "claude-3-sonnet": 4_096,
        "claude-3-5": 8_192,
        "gemini-1.5": 8_192,
        "gemini-2.0": 8_192,
    }
)
"""The most that models give in one answer, by how their names begin: those for which it is less than ours.

They refuse a request that names more. From the providers' lists of models:
https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models and
https://ai.google.dev/gemini-api/docs/models
"""

MIN_QUESTION_CHARS = 2_000
_CHARS_PER_TOKEN = 3  # English has four and more, code and other scripts fewer
_FORM_TOKENS = 3_000  # what providers add for the answer's form, and for their own words
_OUTPUT_SHARE = 4


@dataclass(frozen=True, slots=True)
class Room:
    """The most tokens of one answer, and the most characters of the question; None for any number."""

    output_tokens: int
    question_chars: int | None


def room_for(context_tokens: int | None, max_output: int | None, *, instructions_chars: int) -> Room:
    """Return what fits into a model: the question, one answer that is sent back, and the next one.

    Args:
        context_tokens: What the model reads and answers together; None where nobody knows it.
        max_output: The provider's limit of one answer.
        instructions_chars: What stands above the question.
    """
    output = max_output or MAX_OUTPUT_TOKENS
    if context_tokens is None:
        return Room(output, None)
    output = max(1, min(output, context_tokens // _OUTPUT_SHARE))
    tokens = context_tokens - 2 * output - _FORM_TOKENS
    return Room(output, max(MIN_QUESTION_CHARS, tokens * _CHARS_PER_TOKEN - instructions_chars))


def known_output(model: str) -> int | None:
    """Return the most tokens that a model gives in one answer, where that is less than `MAX_OUTPUT_TOKENS`.

    Args:
        model: Its name; `provider:model` and a cloud's `vendor.model` are known too.
    """
    starts = [0, *(place + 1 for place, sign in enumerate(model) if sign in ":/.")]
    known = [name for name in _OUTPUT_TOKENS if any(model.startswith(name, start) for start in starts)]
    return _OUTPUT_TOKENS[max(known, key=len)] if known else None


@lru_cache(maxsize=32)
def known_context(model: str) -> int | None:
    """Return what a model reads and answers together, in tokens, as the price library has it; None for others.

    Args:
        model: Its name; `provider:model` is known too.
    """
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - it takes a while to import

    provider, _, name = model.rpartition(":")
    try:
        _, info = get_snapshot().find_provider_model(name, None, provider or None, None)
    except LookupError:
        return None
    return info.context_window
