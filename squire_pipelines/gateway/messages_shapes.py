"""What a request to `/v1/messages` may contain, as data. `request_shapes` has the rule."""

from squire_pipelines.gateway.common_shapes import (
    CACHE_CONTROL,
    EFFORT,
    FLAG,
    FRACTION,
    FREE_JSON,
    LABEL,
    NOTHING_STORED,
    SCHEMA,
    TEXT,
    USER_LOCATION,
    keys_of,
)
from squire_pipelines.gateway.shapes import Choice, Either, Items, Kinds, Record, Shape, whole

_CACHED: dict[str, Shape] = {"cache_control": CACHE_CONTROL}


def _source(*media_types: str) -> Record:
    return keys_of({"media_type": Choice(*media_types), "data": TEXT}, "media_type", "data")


_BLOCK_TEXT = keys_of({"text": TEXT, **_CACHED}, "text")
_BLOCK_IMAGE = keys_of(
    {"source": Kinds({"base64": _source("image/jpeg", "image/png", "image/gif", "image/webp")}), **_CACHED}, "source"
)
_BLOCK_DOCUMENT = keys_of(
    {
        "source": Kinds(
            {
                "base64": _source("application/pdf"),
                "text": _source("text/plain"),
                "content": keys_of(
                    {"content": Either(text=TEXT, items=Items(Kinds({"text": _BLOCK_TEXT, "image": _BLOCK_IMAGE})))},
                    "content",
                ),
            }
        ),
        "title": TEXT,
        "context": TEXT,
        "citations": keys_of({"enabled": FLAG}),
        **_CACHED,
    },
    "source",
)
_BLOCKS: dict[str, Record] = {"text": _BLOCK_TEXT, "image": _BLOCK_IMAGE, "document": _BLOCK_DOCUMENT}
_MESSAGE_BLOCKS: dict[str, Record] = {
    **_BLOCKS,
    "tool_use": keys_of({"id": LABEL, "name": LABEL, "input": FREE_JSON, **_CACHED}, "id", "name", "input"),
    "tool_result": keys_of(
        {
            "tool_use_id": LABEL,
            "content": Either(text=TEXT, items=Items(Kinds(_BLOCKS))),
            "is_error": FLAG,
            **_CACHED,
        },
        "tool_use_id",
    ),
    "thinking": keys_of({"thinking": TEXT, "signature": TEXT}, "thinking", "signature"),
    "redacted_thinking": keys_of({"data": TEXT}, "data"),
}
_SEARCH_RESULT = keys_of(
    {"url": TEXT, "title": TEXT, "encrypted_content": TEXT, "page_age": LABEL}, "url", "title", "encrypted_content"
)
_SEARCH_BLOCKS: dict[str, Record] = {
    "server_tool_use": keys_of(
        {"id": LABEL, "name": Choice("web_search"), "input": FREE_JSON, **_CACHED}, "id", "name", "input"
    ),
    "web_search_tool_result": keys_of(
        {
            "tool_use_id": LABEL,
            "content": Either(
                items=Items(Kinds({"web_search_result": _SEARCH_RESULT})),
                record=Kinds({"web_search_tool_result_error": keys_of({"error_code": LABEL}, "error_code")}),
            ),
            **_CACHED,
        },
        "tool_use_id",
        "content",
    ),
}
_CUSTOM_TOOL = keys_of(
    {
        "name": LABEL,
        "description": TEXT,
        "input_schema": SCHEMA,
        "strict": FLAG,
        "eager_input_streaming": FLAG,
        **_CACHED,
    },
    "name",
    "input_schema",
)


def _own_tool(name: str, *required: str, **keys: Shape) -> Record:
    """Return the shape of a tool of Anthropic's, which has the one name."""
    return keys_of({"name": Choice(name), **_CACHED, **keys}, "name", *required)


_COMPUTER = _own_tool(
    "computer",
    "display_width_px",
    "display_height_px",
    display_width_px=whole(1, 100_000),
    display_height_px=whole(1, 100_000),
    display_number=whole(0, 1000),
    enable_zoom=FLAG,
)
# Tools that the agent's own program runs.
_CLIENT_TOOLS: dict[str, Record] = {
    "custom": _CUSTOM_TOOL,
    "bash_20241022": _own_tool("bash"),
    "bash_20250124": _own_tool("bash"),
    "memory_20250818": _own_tool("memory"),
    "text_editor_20241022": _own_tool("str_replace_editor"),
    "text_editor_20250124": _own_tool("str_replace_editor"),
    "text_editor_20250429": _own_tool("str_replace_based_edit_tool"),
    "text_editor_20250728": _own_tool("str_replace_based_edit_tool", max_characters=whole(1, 2**31)),
    "computer_20241022": _COMPUTER,
    "computer_20250124": _COMPUTER,
    "computer_20251124": _COMPUTER,
}
_ANTHROPIC_SEARCH = keys_of(
    {
        "name": Choice("web_search"),
        **_CACHED,
        "max_uses": whole(1, 100),
        "allowed_domains": Items(LABEL),
        "blocked_domains": Items(LABEL),
        "user_location": USER_LOCATION,
    },
    "name",
)
SEARCH_TOOLS = {f"web_search_{day}": _ANTHROPIC_SEARCH for day in ("20250305", "20260209")}
_ANTHROPIC_CHOICE = Kinds(
    {
        **{name: keys_of({"disable_parallel_tool_use": FLAG}) for name in ("auto", "any")},
        "none": keys_of({}),
        "tool": keys_of({"name": LABEL, "disable_parallel_tool_use": FLAG}, "name"),
    },
    drop=True,
)
_AMOUNT = Kinds(
    {name: keys_of({"value": whole(0, 2**31)}, "value") for name in ("input_tokens", "tool_uses", "thinking_turns")}
)
# What of the conversation in the request itself the model need not read again.
_CONTEXT = keys_of(
    {
        "edits": Items(
            Kinds(
                {
                    "clear_tool_uses_20250919": keys_of(
                        {
                            "trigger": _AMOUNT,
                            "keep": _AMOUNT,
                            "clear_at_least": _AMOUNT,
                            "exclude_tools": Items(LABEL),
                            "clear_tool_inputs": Either(items=Items(LABEL), drop=True),
                        }
                    ),
                    "clear_thinking_20251015": keys_of({"keep": Either(text=Choice("all"), record=_AMOUNT)}),
                },
                drop=True,
            )
        )
    }
)
_REMOTE = "the model's provider reaches nothing for this agent"


def messages_shape(*, web_search: bool, counting: bool) -> Record:
    """Return the shape of the body, of a request that only counts tokens too."""
    blocks = {**_MESSAGE_BLOCKS, **(_SEARCH_BLOCKS if web_search else {})}
    tools = dict(_CLIENT_TOOLS)
    if web_search:
        tools |= SEARCH_TOOLS
    content = Either(text=TEXT, items=Items(Kinds(blocks)))
    keys: dict[str, Shape] = {
        "messages": Items(
            Kinds(
                {role: keys_of({"content": content}, "content") for role in ("user", "assistant", "system")}, tag="role"
            )
        ),
        "system": Either(text=TEXT, items=Items(Kinds({"text": _BLOCK_TEXT}))),
        "tools": Items(Kinds(tools, default="custom", drop=True)),
        "tool_choice": _ANTHROPIC_CHOICE,
        "output_config": keys_of(
            {"effort": EFFORT, "format": Kinds({"json_schema": keys_of({"schema": SCHEMA}, "schema")})}
        ),
        "context_management": _CONTEXT,
        **_CACHED,
    }
    if not counting:
        keys |= {
            "stream": FLAG,
            "temperature": FRACTION,
            "top_p": FRACTION,
            "top_k": whole(0, 100_000),
            "stop_sequences": Items(LABEL),
            "metadata": keys_of({"user_id": LABEL}),
        }
    return Record(keys, required=("messages",), refused={"mcp_servers": _REMOTE, "container": NOTHING_STORED})
