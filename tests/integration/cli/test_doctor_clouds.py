"""`squire doctor` asks a model on a cloud's platform with the cheapest request."""

import json
from pathlib import Path

import pytest

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.providers import ask_providers
from squire_pipelines.settings.model import load_settings
from tests.support.clouds import aws_environment, service_account, signature_of
from tests.support.provider import DirectedProvider, plain, serve_upstream

TOKEN = "ya29." + "t" * 80


def ask(folder: Path, table: str) -> Diagnosis:
    path = folder / "config.toml"
    path.write_text(f'[providers.own]\n{table}[planner]\nprovider = "own"\nmodel = "big"\n')
    (diagnosis,) = ask_providers(load_settings(path))
    return diagnosis


def ask_bedrock(folder: Path, upstream: DirectedProvider) -> Diagnosis:
    root = upstream.url.removesuffix("/v1")
    return ask(folder, f'protocol = "anthropic"\nplatform = "bedrock"\nregion = "eu-central-1"\nbase_url = "{root}"\n')


def test_bedrock_is_asked_for_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch.setenv)
    with serve_upstream() as upstream:
        upstream.answer = plain(200, {"content": []})
        diagnosis = ask_bedrock(tmp_path, upstream)
        root = upstream.url.removesuffix("/v1")
    assert (diagnosis.status, diagnosis.message) == ("ok", f"big at the provider own, {root}")
    (request,) = upstream.seen
    assert json.loads(request.body)["max_tokens"] == 1
    expected = signature_of("POST", root + request.path, request.headers, request.body)
    assert request.headers["authorization"] == expected


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((403, "UnrecognizedClientException", "invalid"), "refuses the AWS credentials (403 UnrecognizedClient"),
        ((400, "ValidationException", "The provided model identifier is invalid."), "does not know the model big"),
        ((429, "ThrottlingException", "Too many requests"), "answers 429"),
    ],
)
def test_what_bedrock_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str, str], says: str
) -> None:
    aws_environment(monkeypatch.setenv)
    status, code, message = answer
    with serve_upstream() as upstream:
        upstream.answer = plain(status, {"message": message}, {"x-amzn-errortype": code})
        diagnosis = ask_bedrock(tmp_path, upstream)
    assert diagnosis.status == ("warn" if status == 429 else "fail")
    assert says in diagnosis.message
    assert diagnosis.next_step


def test_credentials_that_are_nowhere_are_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch.setenv)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with serve_upstream() as upstream:
        diagnosis = ask_bedrock(tmp_path, upstream)
    assert diagnosis.status == "fail"
    assert "aws sso login" in diagnosis.next_step
    assert upstream.seen == []


def test_geminis_tokens_are_counted_on_vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_upstream() as tokens, serve_upstream() as upstream:
        tokens.answer = plain(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        service_account(tmp_path / "account.json", tokens.url + "/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        upstream.answer = plain(200, {"totalTokens": 1})
        place = f'platform = "vertex"\nregion = "eu"\nproject = "p"\nbase_url = "{upstream.url}"\n'
        assert ask(tmp_path, f'protocol = "gemini"\n{place}').status == "ok"
    (request,) = upstream.seen
    assert request.path == "/v1/projects/p/locations/eu/publishers/google/models/big:countTokens"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
