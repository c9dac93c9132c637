"""The planner at models on a cloud's platform, through the companies' own libraries."""

import asyncio
import json
from pathlib import Path

import pytest

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.settings.model import load_settings
from tests.integration.planning.test_protocols import ANSWERS
from tests.support.clouds import KEYS, aws_environment, service_account, signature_of
from tests.support.provider import plain, serve_upstream
from tests.support.signal_samples import issue

TOKEN = "ya29." + "t" * 80
VERTEX = 'platform = "vertex"\nregion = "global"\nproject = "my-project"\n'
PLACE = "projects/my-project/locations/global/publishers"


def plan(folder: Path, table: str, calls: list[ModelCall]) -> Plan:
    path = folder / "config.toml"
    path.write_text(
        f'[providers.own]\n{table}[planner]\nprovider = "own"\nmodel = "big"\nmax_retries = 0\ntimeout_s = 30\n'
    )
    making = make_plan(
        load_settings(path),
        "o/r",
        [issue(10)],
        default_branch="main",
        covered=frozenset(),
        find_key=lambda _name: None,
        on_call=calls.append,
        reserve=lambda _provider: None,
    )
    return asyncio.run(making)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    aws_environment(monkeypatch.setenv)


def test_a_model_on_bedrock_plans_with_a_signed_request(tmp_path: Path) -> None:
    calls: list[ModelCall] = []
    with serve_upstream() as upstream:
        root = upstream.url.removesuffix("/v1")
        upstream.answer = plain(200, ANSWERS["anthropic"])
        table = f'protocol = "anthropic"\nplatform = "bedrock"\nregion = "eu-central-1"\nbase_url = "{root}"\n'
        made = plan(tmp_path, table, calls)
    assert (made.planner, [task.key for task in made.tasks]) == ("llm:big", ["fix"])
    (request,) = upstream.seen
    assert request.path == "/model/big/invoke"
    expected = signature_of("POST", root + request.path, request.headers, request.body)
    assert request.headers["authorization"] == expected
    assert (calls[0].ok, calls[0].input_tokens) == (True, 100)


def test_without_credentials_the_plan_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    made = plan(tmp_path, 'protocol = "anthropic"\nplatform = "bedrock"\nregion = "eu-central-1"\n', [])
    assert made.planner == "rules"
    assert "the model failed (configuration)" in made.notes[0]
    assert "the AWS credentials cannot be used: none are set" in made.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "path"),
    [
        ("anthropic", f"/v1/{PLACE}/anthropic/models/big:rawPredict"),
        ("gemini", f"/v1beta1/{PLACE}/google/models/big:generateContent"),
    ],
)
def test_a_model_on_vertex_plans_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, path: str
) -> None:
    with serve_upstream() as tokens, serve_upstream() as upstream:
        tokens.answer = plain(200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        service_account(tmp_path / "account.json", tokens.url + "/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
        upstream.answer = plain(200, ANSWERS[protocol])
        made = plan(tmp_path, f'protocol = "{protocol}"\n{VERTEX}base_url = "{upstream.url}"\n', [])
    assert made.planner == "llm:big", made.notes
    (request,) = upstream.seen
    assert (request.path, request.headers["authorization"]) == (path, f"Bearer {TOKEN}")
    assert KEYS.secret_key not in json.dumps(request.headers)
