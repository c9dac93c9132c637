"""`squire doctor` about the providers of models: each that is used is asked, and faults are told as elsewhere."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.providers import ask_providers
from squire_pipelines.settings.model import load_settings
from tests.support.cli import Squire
from tests.support.provider import Answer, DirectedProvider, plain, serve_upstream
from tests.support.secret_store_faults import cheap_store, passphrase

KEYS = {"openai": "authorization", "anthropic": "x-api-key", "gemini": "x-goog-api-key"}
KEY = "k" * 30


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        yield made


def asked(squire: Squire, upstream: DirectedProvider, protocol: str = "openai", model: str = "big") -> list[Diagnosis]:
    root = upstream.url.removesuffix("/v1")
    version = "/v1beta" if protocol == "gemini" else "/v1"
    squire.config(
        f'[providers.own]\nprotocol = "{protocol}"\nbase_url = "{root}{version}"\nsecret = "own-key"\n'
        f'[planner]\nprovider = "own"\nmodel = "{model}"\n'
    )
    return list(ask_providers(load_settings(squire.home / "config.toml")))


@pytest.mark.parametrize("protocol", KEYS)
def test_a_provider_that_takes_the_key_and_knows_the_model_is_well(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    upstream.answer = plain(200, {"id": "big"})
    (result,) = asked(squire, upstream, protocol)
    assert result.status == "ok"
    (request,) = upstream.seen
    assert request.path.endswith("/models/big")
    assert KEY in request.headers[KEYS[protocol]]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (plain(401, {"error": {"code": "invalid_api_key"}}), "refuses the key own-key (401 invalid_api_key)"),
        (plain(402, {}), "has no quota or credit left for the key own-key (402)"),
    ],
)
def test_what_is_wrong_is_told_by_the_sentence_of_the_planner_and_the_gateway(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch, answer: Answer, says: str
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    upstream.answer = answer
    (result,) = asked(squire, upstream)
    assert (result.status, says in result.message) == ("fail", True)
    assert "change it in the environment variable SQUIRE_OWN_KEY" in result.next_step


def test_a_key_that_squire_keeps_is_set_with_squire_also_without_a_keychain(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE", passphrase().reveal())
    (missing,) = asked(squire, upstream)
    assert missing.next_step == "run `squire secrets set own-key`; `squire doctor` tries it"
    store = cheap_store(squire.home / "secrets.sealed")
    store.create(passphrase())
    store.change(lambda values: values.update({"own-key": KEY}))
    upstream.answer = plain(401, {})
    (refused,) = asked(squire, upstream)
    assert "`squire secrets set own-key`" in refused.next_step


def test_a_key_that_is_not_set_is_told_without_asking(squire: Squire, upstream: DirectedProvider) -> None:
    (result,) = asked(squire, upstream)
    assert result.status == "fail"
    assert "needs the key own-key, which is not set" in result.message
    assert upstream.seen == []


@pytest.mark.parametrize(("model", "status"), [("big", "ok"), ("vendor/big", "ok"), ("other", "fail")])
def test_a_server_without_a_page_for_each_model_is_asked_for_its_list(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch, model: str, status: str
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        is_list = handler.path.endswith("/models")
        plain(200 if is_list else 404, {"data": [{"id": "big"}, {"id": "vendor/big"}]} if is_list else {})(handler)

    upstream.answer = answer
    (result,) = asked(squire, upstream, model=model)
    assert result.status == status
    if status == "fail":
        assert "does not know the model other" in result.message


def test_a_server_that_names_no_models_and_one_that_is_away_are_told(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    upstream.answer = plain(404, {})
    assert [(row.status, "names no models" in row.message) for row in asked(squire, upstream)] == [("warn", True)]
    upstream.answer = plain(503, {})
    assert [(row.status, "answers 503" in row.message) for row in asked(squire, upstream)] == [("warn", True)]
    upstream.url = "http://127.0.0.1:9/v1"
    (result,) = asked(squire, upstream)
    assert (result.status, "does not answer at" in result.message) == ("fail", True)
    assert KEY not in json.dumps([result.message, result.next_step])


def test_every_provider_of_an_agent_is_asked(
    squire: Squire, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", KEY)
    upstream.answer = plain(200, {"id": "big"})
    squire.config(
        f'[providers.own]\nprotocol = "openai"\nbase_url = "{upstream.url}"\nsecret = "own-key"\n'
        '[providers.spare]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:9/v1"\naliases = {big = "small"}\n'
        'models = ["small"]\n'
        '[agent]\nkind = "opencode"\nprovider = {own = 3, spare = 1}\nmodel = "big"\n'
    )
    own, spare = ask_providers(load_settings(squire.home / "config.toml"))
    assert (own.status, spare.status) == ("ok", "fail")
    assert "the provider spare does not answer at http://127.0.0.1:9/v1" in spare.message
