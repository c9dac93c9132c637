"""Requests to models: honest ones as agents' programs send them, and those with what a provider would do for an agent.

Everything hostile has the mark `evil` in it and stands where a provider acts on it, never in text, so that a request
upstream with the mark in it is a break whatever rule let it pass. What is published of the providers' interfaces is
taken from their own libraries, and of Google's from its reference.
"""

import copy
import importlib
import json
import random
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tests.support import gemini_schema

CHAT, RESPONSES, MESSAGES, COUNT = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"
GENERATE, STREAM = "/v1beta/models/small:generateContent", "/v1beta/models/small:streamGenerateContent"
GEMINI_COUNT = "/v1beta/models/small:countTokens"
PATHS = (CHAT, RESPONSES, MESSAGES, COUNT, GENERATE, STREAM, GEMINI_COUNT)
PUBLISHED_GEMINI: dict[str, Any] = {
    GENERATE: gemini_schema.GenerateContentRequest,
    STREAM: gemini_schema.GenerateContentRequest,
    GEMINI_COUNT: gemini_schema.CountTokensRequest,
}
MARK = "evil"
URL = "https://evil.example/x"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string", "enum": ["a", None, 1.5]}}, "required": ["path"]}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
# Under these stands what means nothing to the provider itself, or text.
_FREE = frozenset({"input", "arguments", "env", "logit_bias", "args", "response"})
_SCHEMAS = frozenset(
    {"parameters", "input_schema", "schema", "parametersJsonSchema", "responseSchema", "responseJsonSchema"}
)

HOSTILE_KEYS: tuple[tuple[str, Any], ...] = (
    ("server_url", URL),
    ("mcp_servers", [{"type": "url", "url": URL, "name": "evil"}]),
    ("connector_id", "connector_evil"),
    ("container", {"type": "auto", "file_ids": ["file-evil"]}),
    ("container", "cntr_evil"),
    ("file_id", "file-evil"),
    ("file_ids", ["file-evil"]),
    ("file_url", URL),
    ("vector_store_ids", ["vs_evil"]),
    ("previous_response_id", "resp_evil"),
    ("conversation", {"id": "conv_evil"}),
    ("prompt", {"id": "pmpt_evil", "variables": {"a": {"type": "input_image", "image_url": URL}}}),
    ("background", "evil"),
    ("store", "evil"),
    ("service_tier", "priority-evil"),
    ("models", ["evil/large"]),
    ("fallbacks", [{"model": "evil"}]),
    ("Model", "evil"),
    ("model_id", "evil"),
    ("api_base", URL),
    ("base_url", URL),
    ("api_key", "evil"),
    ("extra_body", {"model": "evil"}),
    ("extra_headers", {"x": "evil"}),
    ("plugins", [{"id": "web", "engine": "evil"}]),
    ("provider", {"order": ["evil"]}),
    ("route", "evil"),
    ("web_search_options", {"user_location": {"type": "evil"}}),
    ("audio", {"id": "audio_evil", "voice": "evil"}),
    ("modalities", ["evil"]),
    ("metadata", {"evil": "evil"}),
    ("guardrails", ["evil"]),
    ("speed", "evil"),
    ("inference_geo", "evil"),
    ("caller", {"type": "code_execution_20250825", "tool_id": "evil"}),
    ("allowed_callers", ["evil"]),
    ("annotations", [{"type": "url_citation", "url": URL}]),
    ("citations", [{"type": "web_search_result_location", "url": URL}]),
    ("chat_template", "evil"),
    ("$ref", URL),
    ("cachedContent", "cachedContents/evil"),
    ("fileData", {"mimeType": "image/png", "fileUri": URL}),
    ("labels", {"evil": "evil"}),
    ("speechConfig", {"voiceConfig": "evil"}),
    ("imageConfig", {"evil": 1}),
    ("responseModalities", ["evil"]),
    ("retrievalConfig", {"evil": 1}),
)
HOSTILE_TOOLS: tuple[dict[str, Any], ...] = (
    {"type": "mcp", "server_label": "evil", "server_url": URL, "require_approval": "never"},
    {"type": "mcp", "server_label": "evil", "connector_id": "connector_evil"},
    {"type": "web_search", "filters": {"allowed_domains": ["evil.example"]}},
    {"type": "web_search_preview", "user_location": {"type": "approximate", "city": "evil"}},
    {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-evil"]}},
    {"type": "file_search", "vector_store_ids": ["vs_evil"]},
    {"type": "image_generation", "input_image_mask": {"image_url": URL}},
    {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_evil"}},
    {"type": "computer_use_preview", "environment": "evil"},
    {"type": "web_search_20250305", "name": "evil", "allowed_domains": ["evil.example"]},
    {"type": "web_fetch_20250910", "name": "evil"},
    {"type": "code_execution_20250825", "name": "evil"},
    {"type": "mcp_toolset", "mcp_server_name": "evil"},
    {"type": "tool_search_tool_regex_20251119", "name": "evil"},
    {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "mcp", "server_url": URL}]},
    {"type": "openrouter:web_search", "parameters": {"engine": "evil"}},
    {"googleSearch": {"evil": True}},
    {"google_search": {"excludeDomains": ["evil.example"]}},
    {"googleSearchRetrieval": {"evil": True}},
    {"urlContext": {"evil": True}},
    {"codeExecution": {"evil": True}},
    {"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/evil"]}},
    {"googleMaps": {"evil": True}},
    {"computerUse": {"environment": "evil"}},
    {"retrieval": {"externalApi": {"endpoint": URL}}},
    {"mcpServers": [{"name": "evil", "streamableHttpTransport": {"url": URL}}]},
)
HOSTILE_PARTS: tuple[dict[str, Any], ...] = (
    {"type": "image_url", "image_url": {"url": URL}},
    {"type": "image_url", "image_url": URL},
    {"type": "file", "file": {"file_id": "file-evil"}},
    {"type": "file", "file": {"file_data": URL}},
    {"type": "input_image", "image_url": URL},
    {"type": "input_image", "file_id": "file-evil"},
    {"type": "input_file", "file_url": URL},
    {"type": "input_file", "file_id": "file-evil"},
    {"type": "input_file", "file_data": "data:evil"},
    {"type": "image", "source": {"type": "url", "url": URL}},
    {"type": "image", "source": {"type": "file", "file_id": "file_evil"}},
    {"type": "document", "source": {"type": "url", "url": URL}},
    {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]},
    },
    {"type": "container_upload", "file_id": "file_evil"},
    {"type": "mcp_tool_use", "id": "a", "name": "evil", "server_name": "evil", "input": {}},
    {"type": "server_tool_use", "id": "a", "name": "web_fetch", "input": {"url": URL}},
    {"type": "search_result", "source": URL, "title": "t", "content": []},
    {"type": "tool_reference", "tool_name": "evil"},
    {"type": "video_url", "video_url": {"url": URL}},
    {"fileData": {"mimeType": "image/png", "fileUri": URL}},
    {"file_data": {"mime_type": "image/png", "file_uri": URL}},
    {"text": "Look.", "fileData": {"fileUri": URL}},
    {"executableCode": {"language": "PYTHON", "code": "evil"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "evil"}},
    {"toolCall": {"toolType": "URL_CONTEXT", "args": {"url": URL}}},
    {"inlineData": {"mimeType": "video/evil", "data": "AAAA"}},
    {"functionResponse": {"name": "n", "response": {}, "parts": [{"fileData": {"fileUri": URL}}]}},
)
HOSTILE_ITEMS: tuple[dict[str, Any], ...] = (
    {"type": "item_reference", "id": "msg_evil"},
    {"id": "msg_evil"},
    {"type": "reasoning", "id": "rs_evil", "summary": []},
    {"type": "function_call", "id": "fc_evil", "call_id": "c", "name": "n", "arguments": "{}"},
    {"type": "message", "id": "msg_evil", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]},
    {"type": "mcp_call", "id": "mcp_evil", "server_label": "evil", "name": "n", "arguments": "{}"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_evil", "approve": True},
    {"type": "code_interpreter_call", "id": "ci_evil", "container_id": "cntr_evil", "code": "1"},
    {"type": "file_search_call", "id": "fs_evil", "queries": ["q"]},
    {"type": "web_search_call", "id": "ws_evil", "status": "completed", "action": {"type": "open_page", "url": URL}},
    {"type": "image_generation_call", "id": "ig_evil"},
    {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "file_id": "file-evil"}},
    {"type": "shell_call", "call_id": "c", "environment": {"type": "container_reference", "container_id": "cntr_evil"}},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": URL}]},
)


def _chat_tool(name: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "description": "Reads.", "parameters": copy.deepcopy(SCHEMA)},
    }


def honest_requests() -> dict[str, tuple[str, dict[str, Any]]]:
    """Requests as agents' programs send them, by the program's name: the path and the document."""
    call = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}}
    chat = {
        "model": "small",
        "max_tokens": 32000,
        "temperature": 0.55,
        "top_p": 1,
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Fix it."}, {"type": "image_url", "image_url": {"url": PIXEL}}],
            },
            {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "1: a"},
        ],
        "tools": [_chat_tool("read"), _chat_tool("write")],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    codex = {
        "model": "small",
        "instructions": "You are Codex.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
            {
                "type": "reasoning",
                "id": "rs_1a",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gAAA",
            },
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "call_2"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "shell",
                "description": "Runs.",
                "strict": False,
                "parameters": copy.deepcopy(SCHEMA),
            },
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "Patches.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
            },
            {"type": "web_search"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-cafe",
        "text": {"verbosity": "medium"},
    }
    claude = {
        "model": "small",
        "max_tokens": 32000,
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "metadata": {"user_id": "user_1"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "Eq=="},
                    {"type": "text", "text": "I look."},
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "Bash",
                        "input": {"command": "ls", "n": [1, None, {"a": 2.5}]},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "is_error": False,
                        "content": [
                            {"type": "text", "text": "a.py"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                        ],
                    },
                    {
                        "type": "document",
                        "title": "t",
                        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
                    },
                ],
            },
        ],
        "tools": [
            {"name": "Bash", "description": "Runs.", "input_schema": copy.deepcopy(SCHEMA)},
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "stream": True,
    }
    count = {key: claude[key] for key in ("model", "system", "messages", "tools", "thinking", "tool_choice")}
    plain = {"model": "small", "messages": [{"role": "user", "content": "Hello."}], "n": 2, "stop": ["x"], "seed": 7}
    gemini = {
        "contents": [
            {"role": "user", "parts": [{"text": "This is the Gemini CLI."}, {"text": "Fix it."}]},
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {
                        "functionCall": {"id": "c1", "name": "read_file", "args": {"path": "a", "n": [1, None]}},
                        "thoughtSignature": "Eq==",
                    },
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "read_file", "response": {"output": "1: a"}}},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
                ],
            },
        ],
        "systemInstruction": {"role": "user", "parts": [{"text": "You are an agent."}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "read_file", "description": "Reads.", "parametersJsonSchema": copy.deepcopy(SCHEMA)},
                    {"name": "write_file", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxOutputTokens": 65_000,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
        },
    }
    gemini_count = {"generateContentRequest": {"model": "models/small", **gemini}}
    copilot = {**chat, "reasoning_effort": "high", "parallel_tool_calls": True, "n": 1, "snippy": {"enabled": False}}
    pi = {**chat, "max_completion_tokens": 16384, "store": False, "prompt_cache_key": "abc"}
    del pi["max_tokens"]
    return {
        "OpenCode": (CHAT, chat),
        "mini-swe-agent": (CHAT, plain),
        "Copilot": (CHAT, copilot),
        "pi": (CHAT, pi),
        "Codex": (RESPONSES, codex),
        "a plain text": (RESPONSES, {"model": "small", "input": "Hello.", "max_output_tokens": 100}),
        "Claude Code": (MESSAGES, claude),
        "Claude Code's count": (COUNT, count),
        "Gemini CLI": (STREAM, gemini),
        "Gemini's library": (GENERATE, {"contents": [{"parts": [{"text": "Hello."}]}]}),
        "Gemini CLI's count": (GEMINI_COUNT, {"contents": gemini["contents"]}),
        "Gemini's library's count": (GEMINI_COUNT, gemini_count),
    }


def _objects(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Yield each object of a document that the provider reads, not those within a tool's arguments or a schema."""
    if isinstance(value, dict):
        yield value
        for name, entry in value.items():
            if name not in _SCHEMAS and not (name in _FREE and isinstance(entry, dict)):
                yield from _objects(entry, name)
    elif isinstance(value, list):
        for entry in value:
            yield from _objects(entry, key)


def _lists(value: Any, names: frozenset[str]) -> Iterator[list[Any]]:
    for holder in _objects(value):
        yield from (entry for name, entry in holder.items() if name in names and isinstance(entry, list))


def _plant(rng: random.Random, document: dict[str, Any]) -> None:
    """Put one hostile thing into a document."""
    way = rng.randrange(6)
    if way <= 2:
        key, value = rng.choice(HOSTILE_KEYS)
        holder = document if way == 0 else rng.choice(list(_objects(document)))
        holder[key] = copy.deepcopy(value)
    elif way == 3:
        document.setdefault("tools", []).insert(0, copy.deepcopy(rng.choice(HOSTILE_TOOLS)))
        document["tool_choice"] = rng.choice(
            ["auto", {"type": "mcp", "server_label": MARK}, {"type": "tool", "name": MARK}]
        )
    else:
        hostile = rng.choice(HOSTILE_PARTS if way == 4 else HOSTILE_ITEMS)
        names = frozenset({"content", "output", "system", "parts"} if way == 4 else {"input", "messages", "contents"})
        if lists := list(_lists(document, names)):
            entries = rng.choice(lists)
            entries.insert(rng.randrange(len(entries) + 1), copy.deepcopy(hostile))


_ODD: tuple[Any, ...] = (None, True, -1, 0, 1.5, 2**70, "", "1", [], [[]], {}, {"a": None}, 1e308, "\ud800", "0" * 300)


def _disturb(rng: random.Random, document: dict[str, Any]) -> None:
    """Change one value of a document to something odd, or leave it out."""
    holders = [entry for entry in _objects(document) if entry]
    if not holders:
        return
    holder = rng.choice(holders)
    key = rng.choice(list(holder))
    if rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(rng.choice(_ODD))


def generate(rng: random.Random) -> tuple[str, bytes]:
    """Return a path and a body: an honest request with up to three hostile things and up to two odd ones."""
    path, honest = rng.choice(tuple(_honest().values()))
    document = copy.deepcopy(honest)
    for _ in range(rng.randrange(4)):
        _plant(rng, document)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        _disturb(rng, document)
    body = json.dumps(document)
    if rng.random() < 0.05:  # the same key twice: readers differ in which they take
        body = '{"model": "evil", ' + body[1:] if rng.random() < 0.5 else body[:-1] + ', "model": "small"}'
    return path, body.encode()


@lru_cache(maxsize=1)
def _honest() -> dict[str, tuple[str, dict[str, Any]]]:
    return honest_requests()


def breaks(path: str, body: bytes) -> list[str]:
    """Return what a body upstream names that no provider may act on."""
    problems = [f"{MARK} at byte {body.index(MARK.encode())}"] if MARK.encode() in body else []
    document = json.loads(body)
    if path in PUBLISHED_GEMINI:
        inner = document.get("generateContentRequest", {"model": "models/small"})
        is_other = "model" in document or inner["model"] != "models/small"
    else:
        is_other = document.get("model") != "small"
    if is_other:
        problems.append("another model")
    if path == RESPONSES and document.get("store") is not False:
        problems.append("the provider stores the answer")
    for holder in _objects(document):
        url = holder.get("image_url", holder.get("url", holder.get("file_data", holder.get("fileUri"))))
        url = url.get("url") if isinstance(url, dict) else url
        if url is not None and not str(url).startswith("data:"):
            problems.append("a URL that is fetched")
    return problems


@lru_cache(maxsize=16)
def _published(path: str, *, stream: bool) -> TypeAdapter[Any]:
    if path in PUBLISHED_GEMINI:
        return TypeAdapter(PUBLISHED_GEMINI[path])
    mode = "Streaming" if stream else "NonStreaming"
    module, name = {
        CHAT: ("openai.types.chat.completion_create_params", f"CompletionCreateParams{mode}"),
        RESPONSES: ("openai.types.responses.response_create_params", f"ResponseCreateParams{mode}"),
        MESSAGES: ("anthropic.types.beta.message_create_params", f"MessageCreateParams{mode}"),
        COUNT: ("anthropic.types.beta.message_count_tokens_params", "MessageCountTokensParams"),
    }[path]
    return TypeAdapter(getattr(importlib.import_module(module), name))


def _read_all(value: Any) -> None:
    """Read what pydantic checks only when it is read: the entries of an `Iterable`."""
    entries = value.values() if isinstance(value, dict) else value if hasattr(value, "__iter__") else ()
    for entry in () if isinstance(value, str | bytes) else entries:
        _read_all(entry)


def schema_error(path: str, body: bytes) -> str | None:
    """Return where a body is not what the provider's own library says that a request is; None where it is."""
    document = json.loads(body)
    try:
        _read_all(_published(path, stream=document.get("stream") is True).validate_python(document))
    except ValidationError as error:
        return f"{error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
    return None
