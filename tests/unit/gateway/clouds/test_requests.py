"""How requests are asked on each platform."""

import json

import pytest

from squire_pipelines.gateway.clouds.cloud import Cloud, Platform
from squire_pipelines.gateway.clouds.requests import adapt, cloud_path
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.rules import target_of

BEDROCK, VERTEX = Platform.BEDROCK, Platform.VERTEX


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_vertex_is_at_the_host_of_its_region(region: str, host: str) -> None:
    cloud = Cloud(VERTEX, region, project="my-project")
    place = f"https://{host}/v1/projects/my-project/locations/{region}/publishers"
    assert cloud.base_url(Protocol.ANTHROPIC) == f"{place}/anthropic"
    assert cloud.base_url(Protocol.GEMINI) == f"{place}/google"


def test_an_address_of_the_users_stands_for_the_platforms_host() -> None:
    assert Cloud(BEDROCK, "eu-west-1").base_url(Protocol.ANTHROPIC) == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert Cloud(BEDROCK, "eu-west-1").base_url(Protocol.ANTHROPIC, "https://vpce.example/") == "https://vpce.example"
    made = Cloud(VERTEX, "eu", project="p").base_url(Protocol.GEMINI, "https://proxy.example/v1")
    assert made == "https://proxy.example/v1/projects/p/locations/eu/publishers/google"


@pytest.mark.parametrize(
    ("platform", "path", "model", "answer", "expected"),
    [
        (BEDROCK, "/v1/messages", "eu.anthropic.a-v1:0", "whole", "/model/eu.anthropic.a-v1%3A0/invoke"),
        (
            BEDROCK,
            "/v1/messages",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/a",
            "stream",
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fa/invoke-with-response-stream",
        ),
        (VERTEX, "/v1/messages", "claude-a@20250929", "whole", "/models/claude-a%4020250929:rawPredict"),
        (VERTEX, "/v1/messages", "claude-a@20250929", "stream", "/models/claude-a%4020250929:streamRawPredict"),
        (VERTEX, "/v1/messages/count_tokens", "claude-a", "whole", "/models/count-tokens:rawPredict"),
        (VERTEX, "/v1beta/models/g:generateContent", "g", "whole", "/models/g:generateContent"),
        (VERTEX, "/v1beta/models/g:streamGenerateContent", "g", "stream", "/models/g:streamGenerateContent?alt=sse"),
        (VERTEX, "/v1beta/models/g:countTokens", "g", "whole", "/models/g:countTokens"),
    ],
)
def test_each_platform_has_its_paths(platform: Platform, path: str, model: str, answer: str, expected: str) -> None:
    assert cloud_path(platform, target_of(path), model, is_stream=answer == "stream") == expected


@pytest.mark.parametrize(
    ("platform", "path"),
    [(BEDROCK, "/v1/messages/count_tokens"), (BEDROCK, "/v1/models"), (VERTEX, "/v1/models")],
)
def test_what_a_platform_does_not_serve_is_refused_by_its_name(platform: Platform, path: str) -> None:
    with pytest.raises(RefusalError, match=f"on the platform {platform}") as refusal:
        cloud_path(platform, target_of(path), "m", is_stream=False)
    assert refusal.value.status == 404


HEADERS = {
    "content-type": "application/json",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14",
}
BODY = b'{"max_tokens":5,"messages":[]}'


def test_bedrock_has_version_and_betas_in_the_body() -> None:
    headers, body = adapt(BEDROCK, Protocol.ANTHROPIC, HEADERS, BODY)
    assert headers == {"content-type": "application/json"}
    assert json.loads(body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07"],
        "max_tokens": 5,
        "messages": [],
    }


def test_vertex_has_the_version_in_the_body_and_betas_in_the_header() -> None:
    headers, body = adapt(VERTEX, Protocol.ANTHROPIC, HEADERS, BODY)
    betas = "context-1m-2025-08-07,interleaved-thinking-2025-05-14"
    assert headers == {"content-type": "application/json", "anthropic-beta": betas}
    assert json.loads(body) == {"anthropic_version": "vertex-2023-10-16", "max_tokens": 5, "messages": []}


def test_gemini_on_vertex_is_asked_as_it_is() -> None:
    assert adapt(VERTEX, Protocol.GEMINI, {"a": "b"}, b'{"contents":[]}') == ({"a": "b"}, b'{"contents":[]}')
