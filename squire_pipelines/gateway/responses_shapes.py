"""What a request to `/v1/responses` may contain, as data. `request_shapes` has the rule."""

from collections.abc import Mapping
from typing import Any

from squire_pipelines.gateway.common_shapes import (
    CALLER_IDS,
    DATA_URL,
    EFFORT,
    FLAG,
    FUNCTION_KEYS,
    GRAMMAR_KEYS,
    LABEL,
    NAMED_TOOL,
    NOTHING_STORED,
    REFUSAL,
    SAMPLING,
    SCHEMA_FORMAT,
    TEXT,
    USER_LOCATION,
    format_of_tool,
    keys_of,
)
from squire_pipelines.gateway.shapes import Choice, Either, Free, Items, Kinds, Notes, Record, whole

_IMAGE_DETAIL = Choice("low", "high", "auto", "original")
_INPUT_PARTS: dict[str, Record] = {
    "input_text": keys_of({"text": TEXT}, "text"),
    "input_image": Record(
        {"image_url": DATA_URL, "detail": _IMAGE_DETAIL}, ("image_url",), refused={"file_id": NOTHING_STORED}
    ),
    "input_file": Record(
        {"file_data": DATA_URL, "filename": LABEL},
        ("file_data",),
        refused={"file_id": NOTHING_STORED, "file_url": "the model's provider fetches nothing for this agent"},
    ),
}
_OUTPUT_PARTS: dict[str, Record] = {
    "output_text": keys_of({"text": TEXT}, "text", annotations=[]),
    "refusal": REFUSAL,
}
_STATUS = Choice("in_progress", "completed", "incomplete")
_TOOL_OUTPUT = Either(text=TEXT, items=Items(Kinds(_INPUT_PARTS)))
_SUMMARY = Items(Kinds({"summary_text": keys_of({"text": TEXT}, "text")}))
_THOUGHTS = Items(Kinds({"reasoning_text": keys_of({"text": TEXT}, "text")}))
# A patch that the agent's own program applies.
_PATCH = Kinds(
    {
        "create_file": keys_of({"path": TEXT, "diff": TEXT}, "path", "diff"),
        "update_file": keys_of({"path": TEXT, "diff": TEXT}, "path", "diff"),
        "delete_file": keys_of({"path": TEXT}, "path"),
    }
)
_STRINGS = Items(TEXT)
_MESSAGE_ROLES = Kinds(
    {
        **{
            role: keys_of({"content": Either(text=TEXT, items=Items(Kinds(_INPUT_PARTS)))}, "content")
            for role in ("user", "system", "developer")
        },
        "assistant": keys_of(
            {
                "content": Either(text=TEXT, items=Items(Kinds(_OUTPUT_PARTS))),
                "phase": Choice("commentary", "final_answer"),
            },
            "content",
        ),
    },
    tag="role",
)


_NOT_OF_A_MESSAGE = frozenset({"type", "id", "status"})


_ITEMS: dict[str, Record] = {
    "function_call": keys_of(
        {"call_id": LABEL, "name": LABEL, "arguments": TEXT, "namespace": LABEL}, "call_id", "name", "arguments"
    ),
    "function_call_output": keys_of({"call_id": LABEL, "output": _TOOL_OUTPUT}, "call_id", "output"),
    "custom_tool_call": keys_of(
        {"call_id": LABEL, "name": LABEL, "input": TEXT, "namespace": LABEL}, "call_id", "name", "input"
    ),
    "custom_tool_call_output": keys_of({"call_id": LABEL, "output": _TOOL_OUTPUT}, "call_id", "output"),
    "local_shell_call": keys_of(
        {
            "call_id": LABEL,
            "status": _STATUS,
            "action": Kinds(
                {
                    "exec": keys_of(
                        {
                            "command": _STRINGS,
                            "env": Free(),
                            "timeout_ms": whole(0, 2**31),
                            "user": LABEL,
                            "working_directory": TEXT,
                        },
                        "command",
                        "env",
                    )
                }
            ),
        },
        "call_id",
        "status",
        "action",
    ),
    "local_shell_call_output": keys_of({"id": LABEL, "output": TEXT, "status": _STATUS}, "id", "output"),
    "apply_patch_call": keys_of(
        {"call_id": LABEL, "status": Choice("in_progress", "completed"), "operation": _PATCH},
        "call_id",
        "status",
        "operation",
    ),
    "apply_patch_call_output": keys_of(
        {"call_id": LABEL, "status": Choice("completed", "failed"), "output": TEXT}, "call_id", "status"
    ),
    # Its id counts only with the provider's own sealed text of the thought, which is then in the request itself.
    "reasoning": keys_of({"summary": _SUMMARY, "content": _THOUGHTS, "encrypted_content": TEXT, "id": LABEL}),
}
_SEARCH_ITEMS: dict[str, Record] = {
    "web_search_call": keys_of(
        {
            "status": Choice("in_progress", "searching", "completed", "failed"),
            "action": Kinds(
                {
                    "search": keys_of({"query": TEXT, "queries": _STRINGS}),
                    "open_page": keys_of({"url": TEXT}),
                    "find_in_page": keys_of({"url": TEXT, "pattern": TEXT}, "url", "pattern"),
                }
            ),
        },
        "status",
        "action",
    )
}


class _InputItem:
    """One entry of the input: a message, whose role says which parts it may have, or an item of a known kind."""

    def __init__(self, items: Mapping[str, Record]) -> None:
        self._items = Kinds(items)

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the entry. An item's own id would name what the provider may have stored, and is left out."""
        if isinstance(value, dict) and value.get("type") in (None, "message"):
            message = {key: entry for key, entry in value.items() if key not in _NOT_OF_A_MESSAGE}
            return {"type": "message", **_MESSAGE_ROLES.rebuild(message, notes)}
        return self._items.rebuild(value, notes)


_RESPONSES_CUSTOM = keys_of(
    {"name": LABEL, "description": TEXT, "format": format_of_tool(keys_of(GRAMMAR_KEYS, "definition", "syntax"))},
    "name",
)
_RESPONSES_FUNCTION = keys_of(FUNCTION_KEYS, "name")
_RESPONSES_TOOLS: dict[str, Record] = {
    "function": _RESPONSES_FUNCTION,
    "custom": _RESPONSES_CUSTOM,
    "namespace": keys_of(
        {
            "name": LABEL,
            "description": TEXT,
            "tools": Items(Kinds({"function": keys_of(FUNCTION_KEYS, "name"), "custom": _RESPONSES_CUSTOM}, drop=True)),
        },
        "name",
        "description",
        "tools",
    ),
    "local_shell": keys_of({}),
    "apply_patch": keys_of({}),
}
_SEARCH_TOOL = keys_of(
    {
        "search_context_size": Choice("low", "medium", "high"),
        "user_location": USER_LOCATION,
        "filters": keys_of({"allowed_domains": Items(LABEL)}),
    }
)
SEARCH_TOOLS = dict.fromkeys(
    ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"), _SEARCH_TOOL
)
_RESPONSES_CHOICE = Either(
    text=Choice("none", "auto", "required"), record=Kinds({"function": NAMED_TOOL, "custom": NAMED_TOOL}, drop=True)
)
_FORMAT = Kinds(
    {"text": keys_of({}), "json_object": keys_of({}), "json_schema": keys_of(SCHEMA_FORMAT, "name", "schema")}
)


def responses_shape(*, web_search: bool) -> Record:
    """Return the shape of the body, where the provider may or may not search the web."""
    tools = {**_RESPONSES_TOOLS, **(SEARCH_TOOLS if web_search else {})}
    items = {**_ITEMS, **(_SEARCH_ITEMS if web_search else {})}
    return Record(
        {
            **SAMPLING,
            **CALLER_IDS,
            "input": Either(text=TEXT, items=Items(_InputItem(items))),
            "instructions": TEXT,
            "stream": FLAG,
            "stream_options": keys_of({"include_obfuscation": FLAG}),
            "tools": Items(Kinds(tools, drop=True)),
            "tool_choice": _RESPONSES_CHOICE,
            "parallel_tool_calls": FLAG,
            "reasoning": keys_of(
                {
                    "effort": EFFORT,
                    "summary": Choice("auto", "concise", "detailed", drop=True),
                    "generate_summary": Choice("auto", "concise", "detailed", drop=True),
                }
            ),
            "text": keys_of({"format": _FORMAT, "verbosity": Choice("low", "medium", "high")}),
            "truncation": Choice("auto", "disabled"),
            "include": Items(Choice("reasoning.encrypted_content", drop=True)),
        },
        required=("input",),
        fixed={"store": False},
        refused={"previous_response_id": NOTHING_STORED, "conversation": NOTHING_STORED, "prompt": NOTHING_STORED},
    )
