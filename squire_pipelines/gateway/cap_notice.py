"""Tells an agent that most of its budget is used: a last text of ours at the end of each request. Pure.

It stands after all that the agent sent, so that what the provider has in its cache of the conversation stays valid, and
where the last message is a tool's result, the request stays one that the provider takes. The agent's program never sees
the text, and its next request does not have it.
"""

from typing import Any

from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals
from squire_pipelines.gateway.rules import CHAT_PATH, GENERATE_PATH, MESSAGES_PATH, RESPONSES_PATH, STREAM_PATH

TELL_FROM = 0.8
_ASKING_ROLES = frozenset({"user", "system", "developer", "tool", "function"})


def notice_for(limits: GatewayLimits, totals: GatewayTotals) -> str | None:
    """Return what to tell the agent of its cap, None while it has used less than four fifths of each."""
    shares = [
        used / cap
        for used, cap in ((totals.tokens, limits.max_tokens), (totals.usd, limits.max_usd))
        if cap is not None and cap > 0
    ]
    if not shares or max(shares) < TELL_FROM:
        return None
    percent = min(int(max(shares) * 100), 100)
    return (
        f"Note from the system that runs you: {percent} % of the budget of this session is used, and at 100 % it ends "
        "at once. Finish now: complete the most important change, leave the files in a consistent state, and end with "
        "a short summary."
    )


def add_notice(path: str, made: dict[str, Any], text: str) -> bool:
    """Add the text at the end of a rebuilt request. Returns whether there was a place for it.

    There is none where the last word is the model's own, which it is to go on with.

    Args:
        path: As the tables have it.
        made: The request, which is changed.
        text: Of the notice.
    """
    if path == CHAT_PATH:
        return _add_to_chat(made["messages"], text)
    if path == RESPONSES_PATH:
        return _add_to_responses(made, text)
    if path == MESSAGES_PATH:
        return _add_to_messages(made, text)
    return path in {GENERATE_PATH, STREAM_PATH} and _add_to_contents(made["contents"], text)


def _add_to_chat(messages: list[dict[str, Any]], text: str) -> bool:
    if not messages or messages[-1]["role"] not in _ASKING_ROLES:
        return False
    last = messages[-1]
    if last["role"] != "user":
        messages.append({"role": "user", "content": text})
    elif isinstance(last["content"], str):  # some servers refuse two messages of the user's in a row
        last["content"] = f"{last['content']}\n\n{text}"
    else:
        last["content"].append({"type": "text", "text": text})
    return True


def _add_to_responses(made: dict[str, Any], text: str) -> bool:
    items = made["input"]
    if isinstance(items, str):
        made["input"] = f"{items}\n\n{text}"
        return True
    if not items or not (items[-1].get("role") in _ASKING_ROLES or items[-1]["type"].endswith("_output")):
        return False
    items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
    return True


def _add_to_messages(made: dict[str, Any], text: str) -> bool:
    messages = made["messages"]
    if not messages or messages[-1]["role"] not in _ASKING_ROLES:
        return False
    last = messages[-1]
    blocks = last["content"]
    if isinstance(blocks, str) and last["role"] == "system":  # Claude Code's own word after what the user says
        last["content"] = f"{blocks}\n\n{text}"
        return True
    if isinstance(blocks, str):
        blocks = last["content"] = [{"type": "text", "text": blocks}] if blocks else []
    if blocks and (cache_control := made.pop("cache_control", None)) is not None:
        # It marks the last block, which is to be that of the agent's: ours is gone in the next request.
        blocks[-1].setdefault("cache_control", cache_control)
    blocks.append({"type": "text", "text": text})
    return True


def _add_to_contents(contents: list[dict[str, Any]], text: str) -> bool:
    if not contents or contents[-1].get("role", "user") == "model":
        return False
    if contents[-1].get("role") == "function":
        contents.append({"role": "user", "parts": [{"text": text}]})
    else:
        contents[-1]["parts"].append({"text": text})
    return True
