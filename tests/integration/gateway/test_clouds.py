"""A gateway before models on Bedrock and Vertex: signed, counted, refused and cleaned as the direct ones are."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from squire_pipelines.domain.provider_faults import ProviderWords
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.clouds.cloud import AwsKeys, Cloud, GoogleToken, Platform
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import CONFIG_LINE, GatewayConfig
from tests.support.clouds import EVENTS, KEYS, aws_environment, chunk, event_stream, service_account, signature_of
from tests.support.provider import (
    DirectedProvider,
    OpenGateway,
    RunningGateway,
    plain,
    serve_upstream,
)

MODEL = "eu.anthropic.claude-v1:0"
DIRECT = ProviderWords("direct", "direct-key")
AWS = Cloud(Platform.BEDROCK, "eu-central-1")
BODY = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "content": [{"type": "text", "text": "Hello."}],
    "usage": {"input_tokens": 20, "output_tokens": 7},
}
TOKEN = "ya29." + "t" * 80
MESSAGES = "/v1/messages"


@pytest.fixture
def bedrock(upstream: DirectedProvider, open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    aws_environment(monkeypatch.setenv)
    upstream.answer = plain(200, ANSWER)
    return open_bedrock(upstream, open_gateway)


def open_bedrock(upstream: DirectedProvider, open_gateway: OpenGateway, cloud: Cloud = AWS) -> RunningGateway:
    return open_gateway(
        key=None,
        url=cloud.base_url(Protocol.ANTHROPIC, upstream.url.removesuffix("/v1")),
        models=(MODEL,),
        name="aws",
        protocol=Protocol.ANTHROPIC,
        cloud=cloud,
    )


def check_signature(upstream: DirectedProvider, keys: AwsKeys = KEYS) -> None:
    request = upstream.seen[-1]
    url = upstream.url.removesuffix("/v1") + request.path
    expected = signature_of("POST", url, request.headers, request.body, keys=keys)
    assert request.headers["authorization"] == expected


def test_a_whole_answer_of_bedrock_is_signed_for_passed_and_counted(
    upstream: DirectedProvider, bedrock: RunningGateway
) -> None:
    headers = {"anthropic-beta": "context-1m-2025-08-07,claude-code-20250219", "x-api-key": "the-agents"}
    answer = bedrock.client.post(MESSAGES, json=BODY, headers=headers)
    assert answer.json() == ANSWER
    check_signature(upstream)
    request = upstream.seen[0]
    assert request.path == "/model/eu.anthropic.claude-v1%3A0/invoke"
    assert json.loads(request.body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07"],
        "max_tokens": 100,
        "messages": BODY["messages"],
    }
    assert not {"x-api-key", "anthropic-beta", "anthropic-version"} & request.headers.keys()
    (call,) = bedrock.recorded()
    assert (call.provider, call.model, call.input_tokens, call.output_tokens) == ("aws", MODEL, 20, 7)
    assert not call.estimated


def test_a_stream_of_bedrock_comes_as_server_sent_events_and_is_counted(
    upstream: DirectedProvider, bedrock: RunningGateway
) -> None:
    upstream.answer = event_stream([chunk(event) for event in EVENTS])
    answer = bedrock.client.post(MESSAGES, json={**BODY, "stream": True})
    check_signature(upstream)
    assert upstream.seen[0].path.endswith("/invoke-with-response-stream")
    assert "stream" not in json.loads(upstream.seen[0].body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines == list(EVENTS)
    (call,) = bedrock.recorded()
    assert (call.status, call.error, call.input_tokens, call.output_tokens) == (200, None, 20, 7)


@pytest.mark.parametrize(
    ("rest", "error"), [(b"", "unfinished"), (b"no event stream", "upstream_unreachable")], ids=["cut", "broken"]
)
def test_a_stream_that_breaks_off_is_the_platforms_failure(
    upstream: DirectedProvider, bedrock: RunningGateway, rest: bytes, error: str
) -> None:
    upstream.answer = event_stream([*map(chunk, EVENTS[:3]), rest])
    try:
        bedrock.client.post(MESSAGES, json={**BODY, "stream": True})
    except httpx.RemoteProtocolError:
        assert rest
    (call,) = bedrock.recorded()
    assert call.error == error
    assert call.estimated
    assert call.total_tokens > 20  # what the stream said of its request, and the text that passed


def test_a_token_that_has_ended_ends_the_attempt_with_what_to_do(
    upstream: DirectedProvider, bedrock: RunningGateway
) -> None:
    message = {"message": "The security token included in the request is expired"}
    upstream.answer = plain(403, message, {"x-amzn-ErrorType": "ExpiredTokenException:http://internal/"})
    answers = [bedrock.client.post(MESSAGES, json=BODY) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert len(upstream.seen) == 1
    assert bedrock.recorded(2)[0].upstream_code == "ExpiredTokenException"
    fault = bedrock.server.status.seen.user_fault or ""
    assert "refuses the AWS credentials (403 ExpiredTokenException)" in fault
    assert "aws sso login" in fault


def test_an_error_that_may_pass_has_anthropics_form(upstream: DirectedProvider, bedrock: RunningGateway) -> None:
    upstream.answer = plain(429, {"message": "Too many requests"}, {"x-amzn-ErrorType": "ThrottlingException"})
    answer = bedrock.client.post(MESSAGES, json={**BODY, "stream": True})
    assert answer.status_code == 429
    error = {"type": "rate_limit_error", "message": "Too many requests", "code": "ThrottlingException"}
    assert answer.json() == {"type": "error", "error": error}


def test_without_credentials_nothing_is_asked_and_the_user_is_told(
    upstream: DirectedProvider, open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_environment(monkeypatch.setenv)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    gateway = open_bedrock(upstream, open_gateway)
    assert gateway.client.post(MESSAGES, json=BODY).status_code == 400
    assert upstream.seen == []
    assert "The AWS credentials cannot be used: none are set" in (gateway.server.status.seen.user_fault or "")
    assert gateway.recorded()[0].total_tokens == 0


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "stream"])
def test_no_part_of_a_credential_comes_back(
    upstream: DirectedProvider,
    bedrock: RunningGateway,
    whole: bool,  # noqa: FBT001 - a case's
) -> None:
    text = f"{KEYS.session_token} and {KEYS.secret_key}"
    if whole:
        upstream.answer = plain(200, {**ANSWER, "content": [{"type": "text", "text": text}]})
    else:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        upstream.answer = event_stream([chunk(event) for event in (*EVENTS[:2], delta, *EVENTS[3:])])
    answer = bedrock.client.post(MESSAGES, json={**BODY, "stream": not whole})
    assert "[redacted]" in answer.text
    assert (KEYS.session_token or "")[-40:] not in answer.text
    assert KEYS.secret_key not in answer.text


def test_what_bedrock_does_not_serve_is_refused_without_asking(
    upstream: DirectedProvider, bedrock: RunningGateway
) -> None:
    answer = bedrock.client.post("/v1/messages/count_tokens", json={key: BODY[key] for key in ("model", "messages")})
    assert answer.status_code == 404
    assert "the platform bedrock" in answer.text
    assert upstream.seen == []
    upstream.answer = plain(200, ANSWER)
    assert bedrock.client.post(MESSAGES, json=BODY).status_code == 200


def test_another_provider_answers_where_the_platform_cannot_be_asked(
    upstream: DirectedProvider, open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_environment(monkeypatch.setenv)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    direct = Upstream(upstream.url, "sk-" + "k" * 20, models=(MODEL,), words=DIRECT, protocol=Protocol.ANTHROPIC)
    gateway = open_gateway(
        key=None, models=(MODEL,), name="aws", protocol=Protocol.ANTHROPIC, cloud=AWS, others=(direct,)
    )
    upstream.answer = plain(200, ANSWER)
    assert gateway.client.post(MESSAGES, json=BODY).json() == ANSWER
    assert upstream.seen[0].headers["x-api-key"] == "sk-" + "k" * 20
    assert gateway.recorded(2)[-1].provider == "direct"


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        made.answer = plain(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        path = tmp_path / "account.json"
        service_account(path, made.url + "/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        yield made


def open_vertex(upstream: DirectedProvider, open_gateway: OpenGateway, protocol: Protocol) -> RunningGateway:
    cloud = Cloud(Platform.VERTEX, "global", "my-project")
    url = cloud.base_url(protocol, upstream.url)
    return open_gateway(key=None, url=url, models=("m@1",), name="google", protocol=protocol, cloud=cloud)


PLACE = "/v1/projects/my-project/locations/global/publishers"


def test_claude_on_vertex_is_asked_with_a_token_that_is_kept_until_its_end(
    upstream: DirectedProvider, open_gateway: OpenGateway, tokens: DirectedProvider
) -> None:
    gateway = open_vertex(upstream, open_gateway, Protocol.ANTHROPIC)
    upstream.answer = plain(200, ANSWER)
    for _ in range(2):
        assert gateway.client.post(MESSAGES, json={**BODY, "model": "m@1"}).json() == ANSWER
    assert len(tokens.seen) == 1
    request = upstream.seen[-1]
    assert request.path == f"{PLACE}/anthropic/models/m%401:rawPredict"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(request.body)["anthropic_version"] == "vertex-2023-10-16"
    assert gateway.recorded(2)[-1].output_tokens == 7


def test_a_token_that_is_about_to_end_is_renewed(
    upstream: DirectedProvider, open_gateway: OpenGateway, tokens: DirectedProvider
) -> None:
    tokens.answer = plain(200, {"access_token": TOKEN, "expires_in": 1, "token_type": "Bearer"})
    gateway = open_vertex(upstream, open_gateway, Protocol.GEMINI)
    answer = {"candidates": [{"content": {"parts": [{"text": TOKEN}]}}], "usageMetadata": {"promptTokenCount": 3}}
    upstream.answer = plain(200, answer)
    for _ in range(2):
        made = gateway.client.post(
            "/v1beta/models/m@1:generateContent", json={"contents": [{"parts": [{"text": "a"}]}]}
        )
        assert made.status_code == 200
        assert TOKEN[-64:] not in made.text
    assert len(tokens.seen) == 2
    assert upstream.seen[-1].path == f"{PLACE}/google/models/m%401:generateContent"
    assert "x-goog-api-key" not in upstream.seen[-1].headers


def test_what_gives_tokens_may_be_away_for_a_while(
    upstream: DirectedProvider, open_gateway: OpenGateway, tokens: DirectedProvider
) -> None:
    gateway = open_vertex(upstream, open_gateway, Protocol.ANTHROPIC)
    tokens.answer = plain(400, {"error": "invalid_grant", "error_description": "Invalid JWT"})
    assert gateway.client.post(MESSAGES, json={**BODY, "model": "m@1"}).status_code == 400
    assert "gcloud auth application-default login" in (gateway.server.status.seen.user_fault or "")
    assert upstream.seen == []


def test_a_container_whose_credentials_have_ended_says_so(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    ended = AwsKeys("id", "s" * 40, "t" * 80, datetime.now(UTC) - timedelta(seconds=1))
    gateway = open_bedrock(upstream, open_gateway, Cloud(Platform.BEDROCK, "eu-central-1", credential=ended))
    assert gateway.client.post(MESSAGES, json=BODY).status_code == 400
    assert upstream.seen == []
    fault = gateway.server.status.seen.user_fault or ""
    assert "The AWS credentials of the gateway's container ended at" in fault
    assert "agent.limits.wall_clock_s" in fault


@pytest.mark.parametrize(
    "credential",
    [
        AwsKeys("id", "secret", "token", datetime(2026, 1, 2, tzinfo=UTC)),
        GoogleToken({"authorization": "Bearer a"}),
        None,
    ],
)
def test_a_container_is_given_its_credentials_with_its_configuration(credential: AwsKeys | GoogleToken | None) -> None:
    cloud = Cloud(Platform.BEDROCK, "eu-central-1", credential=credential)
    config = GatewayConfig("test-1", (Upstream("https://a.example", cloud=cloud),))
    assert CONFIG_LINE.read(CONFIG_LINE.write(config)) == config


SESSION = """<GetSessionTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetSessionTokenResult>
<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>short</SecretAccessKey><SessionToken>lent</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></GetSessionTokenResult></GetSessionTokenResponse>"""


def test_keys_that_do_not_end_are_not_lent_but_ones_that_do(
    upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_environment(monkeypatch.setenv, AwsKeys("AKIA", "long-lived"))
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", upstream.url.removesuffix("/v1"))

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/xml")
        handler.end_headers()
        handler.wfile.write(SESSION.encode())

    upstream.answer = give
    lent = CredentialSource(AWS).lend(3600)
    assert isinstance(lent, AwsKeys)
    assert (lent.access_key, lent.secret_key, lent.session_token) == ("ASIA", "short", "lent")
    assert lent.expires_at == datetime(2099, 1, 1, tzinfo=UTC)
    assert b"DurationSeconds=3600" in upstream.seen[0].body


def test_a_token_that_ends_before_the_attempt_may_is_not_lent(tokens: DirectedProvider) -> None:
    source = CredentialSource(Cloud(Platform.VERTEX, "global", "my-project"))
    lent = source.lend(1800)
    assert isinstance(lent, GoogleToken)
    assert lent.headers["authorization"] == f"Bearer {TOKEN}"
    with pytest.raises(ConfigError, match="end before an attempt of 7200 s may") as caught:
        source.lend(7200)
    assert "agent.limits.wall_clock_s" in caught.value.hint
    assert len(tokens.seen) == 1


def test_a_look_for_credentials_has_a_bound(tokens: DirectedProvider) -> None:
    def never(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read()

    tokens.answer = never
    source = CredentialSource(Cloud(Platform.VERTEX, "global", "my-project"), look_s=0.3)
    with pytest.raises(NotReachableError, match=r"not found within 0\.3 s"):
        source.find()
