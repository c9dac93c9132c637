"""What a request to `/v1/chat/completions` may contain, as data. `request_shapes` has the rule."""

from squire_pipelines.gateway.common_shapes import (
    CACHE_CONTROL,
    CALLER_IDS,
    DATA_URL,
    EFFORT,
    FLAG,
    FRACTION,
    FUNCTION_KEYS,
    GRAMMAR_KEYS,
    LABEL,
    NAMED_TOOL,
    NOTHING_STORED,
    REFUSAL,
    SAMPLING,
    SCHEMA_FORMAT,
    TEXT,
    format_of_tool,
    keys_of,
)
from squire_pipelines.gateway.shapes import Choice, Either, Items, Kinds, Number, Numbers, Record, Shape, whole

_CHAT_TEXT = keys_of({"text": TEXT, "cache_control": CACHE_CONTROL}, "text")
_CHAT_TEXTS = Either(text=TEXT, items=Items(Kinds({"text": _CHAT_TEXT})))
_CHAT_PARTS = Kinds(
    {
        "text": _CHAT_TEXT,
        "image_url": keys_of(
            {
                "image_url": keys_of({"url": DATA_URL, "detail": Choice("auto", "low", "high")}, "url"),
                "cache_control": CACHE_CONTROL,
            },
            "image_url",
        ),
        "input_audio": keys_of(
            {"input_audio": keys_of({"data": TEXT, "format": Choice("wav", "mp3")}, "data", "format")}, "input_audio"
        ),
        "file": keys_of(
            {
                "file": Record(
                    {"file_data": DATA_URL, "filename": LABEL}, ("file_data",), refused={"file_id": NOTHING_STORED}
                )
            },
            "file",
        ),
    }
)
_CHAT_FUNCTION = keys_of({"name": LABEL, "arguments": TEXT}, "name", "arguments")
_CHAT_CALLS = Items(
    Kinds(
        {
            "function": keys_of({"id": LABEL, "function": _CHAT_FUNCTION}, "id", "function"),
            "custom": keys_of(
                {"id": LABEL, "custom": keys_of({"name": LABEL, "input": TEXT}, "name", "input")}, "id", "custom"
            ),
        }
    )
)
_CHAT_MESSAGES = Kinds(
    {
        "system": keys_of({"content": _CHAT_TEXTS, "name": LABEL}, "content"),
        "developer": keys_of({"content": _CHAT_TEXTS, "name": LABEL}, "content"),
        "user": keys_of({"content": Either(text=TEXT, items=Items(_CHAT_PARTS)), "name": LABEL}, "content"),
        "assistant": keys_of(
            {
                "content": Either(text=TEXT, items=Items(Kinds({"text": _CHAT_TEXT, "refusal": REFUSAL}))),
                "refusal": TEXT,
                "name": LABEL,
                "tool_calls": _CHAT_CALLS,
                "function_call": _CHAT_FUNCTION,
                # How providers other than OpenAI call what a model thought: it goes back to them as it came.
                "reasoning_content": TEXT,
                "reasoning": TEXT,
                "reasoning_text": TEXT,
                "reasoning_opaque": TEXT,
            }
        ),
        "tool": keys_of({"content": _CHAT_TEXTS, "tool_call_id": LABEL, "name": LABEL}, "content", "tool_call_id"),
        "function": keys_of({"content": TEXT, "name": LABEL}, "content", "name"),
    },
    tag="role",
)
_CHAT_TOOLS = Items(
    Kinds(
        {
            "function": keys_of(
                {"function": keys_of(FUNCTION_KEYS, "name"), "cache_control": CACHE_CONTROL}, "function"
            ),
            "custom": keys_of(
                {
                    "custom": keys_of(
                        {
                            "name": LABEL,
                            "description": TEXT,
                            "format": format_of_tool(
                                keys_of({"grammar": keys_of(GRAMMAR_KEYS, "definition", "syntax")}, "grammar")
                            ),
                        },
                        "name",
                    )
                },
                "custom",
            ),
        },
        drop=True,
    )
)
_CHAT_CHOICE = Either(
    text=Choice("none", "auto", "required"),
    record=Kinds(
        {
            "function": keys_of({"function": NAMED_TOOL}, "function"),
            "custom": keys_of({"custom": NAMED_TOOL}, "custom"),
        },
        drop=True,
    ),
)
_CHAT_SEARCH = keys_of(
    {
        "search_context_size": Choice("low", "medium", "high"),
        "user_location": Kinds(
            {
                "approximate": keys_of(
                    {"approximate": keys_of({"city": LABEL, "country": LABEL, "region": LABEL, "timezone": LABEL})},
                    "approximate",
                )
            }
        ),
    }
)


def chat_shape(*, web_search: bool) -> Record:
    """Return the shape of the body, where the provider may or may not search the web."""
    keys: dict[str, Shape] = {
        **SAMPLING,
        **CALLER_IDS,
        "messages": Items(_CHAT_MESSAGES),
        "stream": FLAG,
        "stream_options": keys_of({"include_obfuscation": FLAG}, include_usage=True),
        "n": whole(1, 8),
        "top_k": whole(-1, 100_000),
        "min_p": FRACTION,
        "presence_penalty": Number(-2, 2),
        "frequency_penalty": Number(-2, 2),
        "repetition_penalty": Number(0, 10),
        "seed": whole(-(2**63), 2**63 - 1),
        "stop": Either(text=LABEL, items=Items(LABEL)),
        "logit_bias": Numbers(1024),
        "response_format": Kinds(
            {
                "text": keys_of({}),
                "json_object": keys_of({}),
                "json_schema": keys_of({"json_schema": keys_of(SCHEMA_FORMAT, "name")}, "json_schema"),
            }
        ),
        "tools": _CHAT_TOOLS,
        "tool_choice": _CHAT_CHOICE,
        "parallel_tool_calls": FLAG,
        "functions": Items(keys_of({key: FUNCTION_KEYS[key] for key in ("name", "description", "parameters")}, "name")),
        "function_call": Either(text=Choice("none", "auto"), record=NAMED_TOOL),
        "reasoning_effort": EFFORT,
        "reasoning": keys_of({"effort": EFFORT, "enabled": FLAG, "exclude": FLAG}),
        "enable_thinking": FLAG,
        "verbosity": Choice("low", "medium", "high"),
        "prediction": Kinds({"content": keys_of({"content": _CHAT_TEXTS}, "content")}),
    }
    if web_search:
        keys["web_search_options"] = _CHAT_SEARCH
    return Record(keys, required=("messages",))
