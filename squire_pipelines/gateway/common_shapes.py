"""Shapes that several interfaces share, as data. `request_shapes` has the rule for what may be in one."""

from collections.abc import Mapping
from typing import Any

from squire_pipelines.gateway.shapes import Choice, DataUrl, Flag, Free, Kinds, Number, Record, Shape, Text

TEXT, FLAG, FREE_JSON, SCHEMA, DATA_URL = Text(), Flag(), Free(), Free(schema=True), DataUrl()
LABEL = Text(4096)
# The most tokens of parts of which a few bytes can be many: a blank picture, whose price goes by its size, and a
# document, whose pages each are a picture too.
PICTURE_TOKENS = 50_000
ANY_INPUT = 1_000_000
EFFORT = Choice("none", "minimal", "low", "medium", "high", "xhigh", "max", drop=True)
CACHE_CONTROL = Record({"type": Choice("ephemeral"), "ttl": Choice("5m", "1h")}, required=("type",))
FRACTION = Number(0, 1)
NOTHING_STORED = "the provider keeps nothing for this agent. Send the whole conversation in each request"
SAMPLING: dict[str, Shape] = {"temperature": Number(0, 2), "top_p": FRACTION}


def keys_of(keys: Mapping[str, Shape], *required: str, **fixed: Any) -> Record:
    """Return the shape of an object with these keys."""
    return Record(keys, required=required, fixed=fixed)


GRAMMAR_KEYS: dict[str, Shape] = {"definition": TEXT, "syntax": Choice("lark", "regex")}


def format_of_tool(grammar: Record) -> Kinds:
    """Return the shape of the form in which a tool is called with free text."""
    return Kinds({"text": keys_of({}), "grammar": grammar})


FUNCTION_KEYS: dict[str, Shape] = {"name": LABEL, "description": TEXT, "parameters": SCHEMA, "strict": FLAG}
SCHEMA_FORMAT: dict[str, Shape] = {"name": LABEL, "description": TEXT, "schema": SCHEMA, "strict": FLAG}
USER_LOCATION = Kinds(
    {"approximate": keys_of({"city": LABEL, "country": LABEL, "region": LABEL, "timezone": LABEL})},
    default="approximate",
)
CALLER_IDS: dict[str, Shape] = {"user": LABEL, "safety_identifier": LABEL, "prompt_cache_key": LABEL}
NAMED_TOOL = keys_of({"name": LABEL}, "name")
REFUSAL = keys_of({"refusal": TEXT}, "refusal")
