"""What a request to Gemini's `:generateContent` and `:countTokens` may contain, as data. `request_shapes` has the rule.

The interface's reference is https://ai.google.dev/api/generate-content. Its readers take both spellings of a key,
`inlineData` and `inline_data`; ours is the first. A sound or a film is not among what may be sent, since its tokens
have a price of their own.
"""

from typing import Any

from squire_pipelines.gateway.common_shapes import (
    ANY_INPUT,
    FLAG,
    FRACTION,
    FREE_JSON,
    LABEL,
    NOTHING_STORED,
    PICTURE_TOKENS,
    SCHEMA,
    TEXT,
)
from squire_pipelines.gateway.shapes import (
    DROPPED,
    Choice,
    Items,
    Notes,
    Number,
    OneOrMore,
    Record,
    Shape,
    ShapeError,
    whole,
)

_FETCHED = "the model's provider fetches nothing for this agent"
_RUN = "the model's provider runs nothing for this agent"
_PASSED_MEDIA = ("image/", "text/", "application/pdf", "application/json")


def _keys(keys: dict[str, Shape], *required: str) -> Record:
    return Record(keys, required=required, snake_case=True)


class _MediaType:
    """A picture, a document or a text."""

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the type."""
        name = LABEL.rebuild(value, notes)
        if not name.startswith(_PASSED_MEDIA):
            raise ShapeError("has to be a picture, a text or a PDF: other media have a price of their own")
        return name


class _AboveZero:
    """A number above zero; anything else is none."""

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the number, or DROPPED."""
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else DROPPED


class _FunctionTools:
    """An entry of the tools: the functions that it declares, which the agent's own program runs."""

    def __init__(self, *, web_search: bool) -> None:
        search: dict[str, Shape] = {"googleSearch": _keys({})} if web_search else {}
        self._record = _keys({"functionDeclarations": OneOrMore(Items(_DECLARATION)), **search})

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the entry, or DROPPED when nothing is left of it."""
        return self._record.rebuild(value, notes) or DROPPED


_INLINE_DATA = _keys({"mimeType": _MediaType(), "data": TEXT}, "mimeType", "data")
_RESULT_PART = Record(
    {"inlineData": _INLINE_DATA},
    refused={"fileData": _FETCHED},
    one_of=frozenset({"inlineData"}),
    snake_case=True,
)
_PART_KINDS: dict[str, Shape] = {
    "text": TEXT,
    "inlineData": _INLINE_DATA,
    "functionCall": _keys({"id": LABEL, "name": LABEL, "args": FREE_JSON}, "name"),
    "functionResponse": _keys(
        {"id": LABEL, "name": LABEL, "response": FREE_JSON, "parts": OneOrMore(Items(_RESULT_PART))}, "name", "response"
    ),
}
_PART = Record(
    {**_PART_KINDS, "thought": FLAG, "thoughtSignature": TEXT},
    refused={
        "fileData": _FETCHED,
        **dict.fromkeys(("executableCode", "codeExecutionResult", "toolCall", "toolResponse"), _RUN),
    },
    one_of=frozenset(_PART_KINDS),
    snake_case=True,
)
_CONTENT = _keys({"role": Choice("user", "model", "function"), "parts": OneOrMore(Items(_PART))}, "parts")
_INSTRUCTION = _keys({"role": LABEL, "parts": OneOrMore(Items(_PART))}, "parts")
_DECLARATION = _keys(
    {
        "name": LABEL,
        "description": TEXT,
        "parameters": SCHEMA,
        "parametersJsonSchema": SCHEMA,
        "response": SCHEMA,
        "responseJsonSchema": SCHEMA,
    },
    "name",
)
_TOOL_CONFIG = _keys(
    {
        "functionCallingConfig": _keys(
            {"mode": Choice("AUTO", "ANY", "NONE", "VALIDATED", drop=True), "allowedFunctionNames": Items(LABEL)}
        )
    }
)
_SAFETY = _keys({"category": LABEL, "threshold": LABEL}, "category", "threshold")
_CONFIG = _keys(
    {
        "temperature": Number(0, 2),
        "topP": FRACTION,
        "topK": Number(0, 100_000),
        "candidateCount": whole(1, 8),
        "seed": whole(-(2**31), 2**31 - 1),
        "presencePenalty": Number(-2, 2),
        "frequencyPenalty": Number(-2, 2),
        "stopSequences": Items(LABEL),
        "responseMimeType": Choice("text/plain", "application/json", "text/x.enum"),
        "responseSchema": SCHEMA,
        "responseJsonSchema": SCHEMA,
        "responseModalities": Items(Choice("TEXT", drop=True)),  # a picture or speech has another price
        "responseLogprobs": FLAG,
        "logprobs": whole(0, 20),
        "mediaResolution": Choice(
            *(f"MEDIA_RESOLUTION_{size}" for size in ("UNSPECIFIED", "LOW", "MEDIUM", "HIGH")), drop=True
        ),
        "thinkingConfig": _keys(
            {
                "includeThoughts": FLAG,
                "thinkingBudget": whole(-1, 1_000_000),  # -1 leaves it to the model, 0 is none
                "thinkingLevel": Choice("MINIMAL", "LOW", "MEDIUM", "HIGH", drop=True),
            }
        ),
        "maxOutputTokens": _AboveZero(),  # ours in the end: the meter says what it becomes
    }
)


def gemini_shape(*, web_search: bool) -> Record:
    """Return the shape of the body of a request for an answer."""
    return Record(
        {
            "contents": OneOrMore(Items(_CONTENT)),
            "systemInstruction": _INSTRUCTION,
            "tools": OneOrMore(Items(_FunctionTools(web_search=web_search))),
            "toolConfig": _TOOL_CONFIG,
            "safetySettings": OneOrMore(Items(_SAFETY)),
            "generationConfig": _CONFIG,
        },
        required=("contents",),
        refused={"cachedContent": NOTHING_STORED},
        snake_case=True,
    )


def gemini_count_shape(*, web_search: bool) -> Record:
    """Return the shape of the body of a request that only counts tokens: a conversation, or a whole request."""
    return Record(
        {"contents": OneOrMore(Items(_CONTENT)), "generateContentRequest": gemini_shape(web_search=web_search)},
        one_of=frozenset({"contents", "generateContentRequest"}),
        snake_case=True,
    )


def settle(made: dict[str, Any]) -> None:
    """Set what depends on the rest of a request: of functions that are no longer offered none can be asked for."""
    declared = {
        declaration["name"] for tool in made.get("tools", ()) for declaration in tool.get("functionDeclarations", ())
    }
    if not made.get("tools"):
        made.pop("tools", None)
        made.pop("toolConfig", None)
    calling = made.get("toolConfig", {}).get("functionCallingConfig", {})
    if "allowedFunctionNames" in calling:
        calling["allowedFunctionNames"] = [name for name in calling["allowedFunctionNames"] if name in declared]
        if not calling["allowedFunctionNames"]:
            del made["toolConfig"]


def hidden_tokens(made: dict[str, Any]) -> int:
    """Return the most tokens of what is not in a request's bytes: pictures, documents, what a search gives."""
    contents = [*made.get("contents", ()), *([made["systemInstruction"]] if "systemInstruction" in made else ())]
    parts = [part for content in contents for part in content["parts"]]
    parts += [inner for part in parts for inner in part.get("functionResponse", {}).get("parts", ())]
    media = [part["inlineData"]["mimeType"] for part in parts if "inlineData" in part]
    searches = any("googleSearch" in tool for tool in made.get("tools", ()))
    return sum(PICTURE_TOKENS if kind.startswith("image/") else ANY_INPUT for kind in media) + searches * ANY_INPUT
