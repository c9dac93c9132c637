"""How a request of a model's protocol is asked on a cloud's platform: its path, its body, its headers. Pure.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html,
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude, and the libraries of Anthropic.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from squire_pipelines.gateway.clouds.cloud import Platform
from squire_pipelines.gateway.forward import write_json
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.rules import COUNT_PATH, MESSAGES_PATH, Target, protocol_of

# Stands in the body, where Anthropic's own interface has a header.
_VERSIONS: Mapping[Platform, str] = {Platform.BEDROCK: "bedrock-2023-05-31", Platform.VERTEX: "vertex-2023-10-16"}
# Of the betas that pass to Anthropic, those that the platform takes: it refuses a request that names another.
_BETAS: Mapping[Platform, frozenset[str]] = {
    Platform.BEDROCK: frozenset(
        {
            "computer-use-2024-10-22",
            "computer-use-2025-01-24",
            "computer-use-2025-11-24",
            "context-1m-2025-08-07",
            "context-management-2025-06-27",
            "effort-2025-11-24",
            "fine-grained-tool-streaming-2025-05-14",
        }
    ),
    Platform.VERTEX: frozenset(
        {
            "computer-use-2025-01-24",
            "computer-use-2025-11-24",
            "context-1m-2025-08-07",
            "context-management-2025-06-27",
            "interleaved-thinking-2025-05-14",
        }
    ),
}
_VERSION_HEADER, _BETA_HEADER = "anthropic-version", "anthropic-beta"


def cloud_path(platform: Platform, target: Target, model: str | None, *, is_stream: bool) -> str:
    """Return the path below the provider's base URL on a platform.

    Args:
        platform: Which one.
        target: What the agent asked for.
        model: As the platform calls it.
        is_stream: Whether the answer is asked for as a stream.

    Raises:
        RefusalError: The platform does not serve it in this form.
    """
    if platform is Platform.VERTEX and protocol_of(target.path) is Protocol.GEMINI:
        return target.below(model)
    name = quote(model or "", safe="")
    if target.path == MESSAGES_PATH and platform is Platform.BEDROCK:
        return f"/model/{name}/invoke-with-response-stream" if is_stream else f"/model/{name}/invoke"
    if target.path == MESSAGES_PATH:
        return f"/models/{name}:streamRawPredict" if is_stream else f"/models/{name}:rawPredict"
    if target.path == COUNT_PATH and platform is Platform.VERTEX:
        return "/models/count-tokens:rawPredict"
    raise RefusalError("path", f"the model's provider is on the platform {platform}, which does not serve this path")


def names_in_body(platform: Platform, target: Target, model: str, *, is_stream: bool) -> dict[str, Any]:
    """Return what of the request stands in its body beside the rest: the model and the wish for a stream."""
    if platform is Platform.BEDROCK:
        return {}
    if target.path == COUNT_PATH:
        return {"model": model}
    return {"stream": True} if is_stream else {}


def adapt(
    platform: Platform, protocol: Protocol, headers: Mapping[str, str], body: bytes
) -> tuple[dict[str, str], bytes]:
    """Return the headers and body of a request as the platform takes them, not signed yet."""
    passed = dict(headers)
    if protocol is not Protocol.ANTHROPIC or not body:
        return passed, body
    passed.pop(_VERSION_HEADER, None)
    betas = [beta for beta in passed.pop(_BETA_HEADER, "").split(",") if beta in _BETAS[platform]]
    added: dict[str, object] = {"anthropic_version": _VERSIONS[platform]}
    if betas and platform is Platform.BEDROCK:
        added["anthropic_beta"] = betas
    elif betas:
        passed[_BETA_HEADER] = ",".join(betas)
    return passed, write_json(added)[:-1] + b"," + body[1:]
