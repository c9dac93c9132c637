"""Makes an agent's request to its model anew: read within bounds, rebuilt by its path's shape, limited by us. Pure.

Nothing of the agent's bytes is passed on: what goes upstream is written from the new document. The greatest number of
tokens that the answer may have is written last, when the meter has said how many are left.
"""

import json
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json

from squire_pipelines.gateway import gemini_shapes
from squire_pipelines.gateway.cap_notice import add_notice
from squire_pipelines.gateway.clouds.cloud import Platform
from squire_pipelines.gateway.clouds.requests import cloud_path, names_in_body
from squire_pipelines.gateway.common_shapes import ANY_INPUT, PICTURE_TOKENS
from squire_pipelines.gateway.forward import LEAST_THINKING, Forward, write_json
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.request_shapes import SEARCH_TOOLS, request_shapes
from squire_pipelines.gateway.rules import (
    BYTES_PER_TOKEN,
    CHAT_PATH,
    COUNT_PATH,
    FREE_PATHS,
    GEMINI_COUNT_PATH,
    GEMINI_MODELS_PATH,
    GENERATE_PATH,
    MESSAGES_PATH,
    MODELS_PATH,
    RESPONSES_PATH,
    STREAM_PATH,
    Target,
    as_object,
    protocol_of,
    target_of,
)
from squire_pipelines.gateway.shapes import Notes, ShapeError

# A document of that many values takes 60 ms and 50 MB to read. Text has about one such character in twenty, and a
# model that takes a million tokens is asked with some four million bytes.
MAX_VALUES = 400_000
MAX_OUTPUT_TOKENS = 1_000_000
# Where a request names the most that it may be answered, the first of which wins; and where we name it ourselves.
_OUTPUT_KEYS: Mapping[str, tuple[str, ...]] = {
    CHAT_PATH: ("max_completion_tokens", "max_tokens"),
    RESPONSES_PATH: ("max_output_tokens",),
    MESSAGES_PATH: ("max_tokens",),
    COUNT_PATH: ("max_tokens",),
}
_GEMINI_PATHS = frozenset({GENERATE_PATH, STREAM_PATH, GEMINI_COUNT_PATH})
# OpenAI's newer models refuse the old name, and other servers may not know the new one.
_NEW_NAME_HOSTS = ("api.openai.com", ".openai.azure.com")
_THINKING_KINDS = ("enabled", "disabled", "adaptive", "auto")
# The responses interface's published schema wants an id of these. It names nothing: nothing is stored.
_ITEM_IDS = {"message": "msg", "reasoning": "rs", "local_shell_call": "lsh", "web_search_call": "ws"}


# A provider describes its own tools to the model.
_HIDDEN_TOKENS: Mapping[bytes, int] = {
    **dict.fromkeys((b"image", b"image_url", b"input_image"), PICTURE_TOKENS),
    **dict.fromkeys((b"file", b"input_file", b"document"), ANY_INPUT),
}
# Within a text, quotation marks are escaped.
_HIDDEN_PARTS = re.compile(rb'"type":"(%b)"' % b"|".join(_HIDDEN_TOKENS))
_OWN_TOOL_TOKENS = 2_000


def read_document(body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object in a body. Raises RefusalError, also when reading it would take long."""
    if len(body) > MAX_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise RefusalError("request_too_large", f"the request has more than {MAX_VALUES} commas and brackets")
    try:
        document = _parse(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError("bad_request", "the body is not JSON") from error
    if not isinstance(document, dict):
        raise RefusalError("bad_request", "the body is not a JSON object")
    return document


def _parse(body: bytes | bytearray) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:  # half a character among others, which programs leave that cut a text by UTF-16's units
        return json.loads(body.decode(), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def rebuild_request(
    method: str,
    path: str,
    body: bytes | bytearray,
    allowed_models: Collection[str],
    aliases: Mapping[str, str] = MappingProxyType({}),
    *,
    web_search: bool = False,
    default_output: int = 32_000,
    base_url: str = "",
    notice: str | None = None,
    platform: Platform | None = None,
) -> Forward:
    """Return the request to pass on.

    Args:
        method: Of HTTP.
        path: One that `check_path` has let through.
        body: As it came.
        allowed_models: The ids that may be named.
        aliases: Names of models that stand for another; the upstream gets the other.
        web_search: Whether the provider may search the web for the agent.
        default_output: The greatest number of tokens of an answer where the request names none that is one.
        base_url: Of the provider, which says under which name it wants that number.
        notice: What to tell the agent at the request's end; None for nothing.
        platform: The cloud on which the model is, whose paths and bodies are its own; None for none.

    Raises:
        RefusalError: The body is no JSON object, asks for a model that is not allowed, or has what is not passed on.
    """
    target, protocol = target_of(path), protocol_of(path)
    if target.path in {MODELS_PATH, GEMINI_MODELS_PATH}:
        below = target.below(None) if platform is None else cloud_path(platform, target, None, is_stream=False)
        return Forward(method, below, None, protocol=protocol, free=True)
    document = read_document(body)
    asked = document.pop("model", None)
    model = _allowed(asked if target.model is None else target.model, allowed_models, aliases)
    if target.path in _GEMINI_PATHS:
        return _rebuild_gemini(
            method, target, model, document, web_search=web_search, default_output=default_output, notice=notice
        )
    notes = Notes()
    limits = [document.pop(key, None) for key in _OUTPUT_KEYS[path]]
    named = next((value for value in limits if _is_amount(value)), None)
    try:
        thinking = None if path == RESPONSES_PATH else _thinking(document.pop("thinking", None), path)
        made = request_shapes(web_search=web_search)[path].rebuild(document, notes)
    except ShapeError as error:
        raise RefusalError("not_passed_on", error.sentence) from error
    _settle(made, path)
    has_notice = notice is not None and add_notice(path, made, notice)
    below, names = target.below(model), {"model": model}
    if platform is not None:
        is_stream = made.pop("stream", False) is True
        below = cloud_path(platform, target, model, is_stream=is_stream)
        names = names_in_body(platform, target, model, is_stream=is_stream)
    text = write_json({**names, **made})
    free = path in FREE_PATHS
    return Forward(
        method,
        below,
        model,
        protocol=protocol,
        free=free,
        rest=text,
        output=0 if free else min(named or default_output, MAX_OUTPUT_TOKENS),
        names_output=named is not None or path == MESSAGES_PATH,
        output_key=None if free else _output_key(path, limits, base_url),
        choices=made.get("n", 1),
        thinking=thinking,
        web_search="web_search_options" in made
        or any(tool.get("type") in SEARCH_TOOLS for tool in made.get("tools", ())),
        dropped=tuple(notes.dropped),
        input_estimate=-(-len(text) // BYTES_PER_TOKEN),
        hidden_input=_hidden_tokens(text, made),
        has_notice=has_notice,
        is_stream=made.get("stream") is True,
    )


def _allowed(asked: object, allowed_models: Collection[str], aliases: Mapping[str, str]) -> str:
    """Return the model that is asked for, as the provider calls it. Raises RefusalError."""
    model = aliases.get(asked, asked) if isinstance(asked, str) else asked
    if not isinstance(model, str) or model not in allowed_models:
        raise RefusalError("model", f"the model {str(asked)[:100]!r} is not allowed for this attempt")
    return model


def _rebuild_gemini(
    method: str,
    target: Target,
    model: str,
    document: dict[str, Any],
    *,
    web_search: bool,
    default_output: int,
    notice: str | None,
) -> Forward:
    notes = Notes()
    try:
        made = request_shapes(web_search=web_search)[target.path].rebuild(document, notes)
    except ShapeError as error:
        raise RefusalError("not_passed_on", error.sentence) from error
    whole = made.get("generateContentRequest", made)
    gemini_shapes.settle(whole)
    free = target.path in FREE_PATHS
    if whole is not made:
        whole["model"] = f"models/{model}"
    config: dict[str, Any] = {} if free else made.pop("generationConfig", {})
    named, thinking = config.pop("maxOutputTokens", None), config.pop("thinkingConfig", None)
    has_notice = notice is not None and add_notice(target.path, made, notice)
    text = write_json(made)
    return Forward(
        method,
        target.below(model),
        model,
        protocol=Protocol.GEMINI,
        free=free,
        rest=text,
        output=0 if free else min(named or default_output, MAX_OUTPUT_TOKENS),
        names_output=named is not None,
        output_key=None if free else "maxOutputTokens",
        choices=config.get("candidateCount", 1),
        thinking=thinking,
        config=None if free else config,
        web_search=any("googleSearch" in tool for tool in whole.get("tools", ())),
        dropped=tuple(notes.dropped),
        input_estimate=-(-len(text) // BYTES_PER_TOKEN),
        hidden_input=gemini_shapes.hidden_tokens(made) + len(write_json(config)),
        has_notice=has_notice,
        is_stream=target.path == STREAM_PATH,
    )


def _hidden_tokens(text: bytes, made: Mapping[str, Any]) -> int:
    parts = sum(_HIDDEN_TOKENS[kind] for kind in _HIDDEN_PARTS.findall(text))
    kinds = [tool.get("type", "custom") for tool in made.get("tools", ())]
    searches = any(kind in SEARCH_TOOLS for kind in kinds) or "web_search_options" in made
    own = sum(kind not in {"function", "custom", "namespace"} for kind in kinds)
    return parts + own * _OWN_TOOL_TOKENS + searches * ANY_INPUT


def _is_amount(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _output_key(path: str, limits: list[object], base_url: str) -> str:
    keys = _OUTPUT_KEYS[path]
    for key, value in zip(keys, limits, strict=True):
        if value is not None:
            return key
    host = urlsplit(base_url).hostname or ""
    return keys[0] if host.endswith(_NEW_NAME_HOSTS) else keys[-1]


def _thinking(value: object, path: str) -> Mapping[str, Any] | None:
    """Return how the model is asked to think. Raises ShapeError."""
    if value is None:
        return None
    asked = as_object(value)
    if asked.get("type") not in _THINKING_KINDS:
        raise _wrong_thinking("an object of a known type")
    made: dict[str, Any] = {"type": asked["type"]}
    if asked.get("display") in ("summarized", "omitted"):
        made["display"] = asked["display"]
    # Anthropic's interface needs a budget; others think without one.
    if made["type"] == "enabled" and ("budget_tokens" in asked or path != CHAT_PATH):
        budget: Any = asked.get("budget_tokens")
        if not _is_amount(budget) or budget < LEAST_THINKING:
            raise _wrong_thinking(f"given with budget_tokens, a whole number from {LEAST_THINKING}")
        made["budget_tokens"] = min(budget, MAX_OUTPUT_TOKENS)
    return made


def _wrong_thinking(expected: str) -> ShapeError:
    error = ShapeError(f"has to be {expected}")
    error.within(".thinking")
    return error


def _settle(made: dict[str, Any], path: str) -> None:
    """Set what depends on the rest of the document: usage in a stream, tools that are no longer offered, ids."""
    if made.get("stream") is not True:
        made.pop("stream_options", None)
    elif path == CHAT_PATH:
        made["stream_options"] = {**made.get("stream_options", {}), "include_usage": True}
    if not made.get("tools"):
        for key in ("tools", "tool_choice", "parallel_tool_calls"):
            made.pop(key, None)
    elif (name := _tool_name(made.get("tool_choice"))) is not None and name not in map(_tool_name, made["tools"]):
        del made["tool_choice"]
    for tool in made.get("tools", ()) if path == RESPONSES_PATH else ():
        if tool["type"] == "function":  # the published schema wants both, if only as null
            tool.setdefault("parameters", None)
            tool.setdefault("strict", None)
    if path == RESPONSES_PATH and isinstance(made["input"], list):
        for number, item in enumerate(made["input"]):
            _set_id(item, number)


def _tool_name(tool: object) -> str | None:
    entry = as_object(tool)
    inner = as_object(entry.get("function") or entry.get("custom")) or entry
    name = inner.get("name")
    return name if isinstance(name, str) else None


def _set_id(item: dict[str, Any], number: int) -> None:
    kind = item["type"]
    prefix = _ITEM_IDS.get(kind)
    if prefix is None or (
        kind == "message" and not (item["role"] == "assistant" and isinstance(item["content"], list))
    ):
        return
    if kind == "message":
        item["status"] = "completed"
    if kind == "reasoning":
        item.setdefault("summary", [])
        # The provider opens the sealed text of a thought by its id. Without that text the id would be looked up.
        if item.get("encrypted_content") and item.get("id", "").startswith("rs_"):
            return
    item["id"] = f"{prefix}_{number}"
