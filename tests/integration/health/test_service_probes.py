"""Probes of GitHub and of models against servers on loopback: revoked, lapsing, silent, unreachable."""

import time
from email.utils import formatdate

import pytest

from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.health.github_probe import EXPIRY, look_at_github, read_expiry
from squire_pipelines.health.model_probe import look_at_models
from squire_pipelines.runtime.ports import free_port
from tests.integration.health.conftest import Configure
from tests.support.provider import DirectedProvider, plain

OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN
TOKEN = "ghp_" + "x" * 36


def test_a_token_that_github_takes_is_well_and_is_sent_nowhere_else(
    configure: Configure, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    upstream.answer = plain(200, {})
    offsets: list[float | None] = []
    root = upstream.url.removesuffix("/v1")
    states = look_at_github(configure(f'[github]\napi_url = "{root}"\n'), offsets.append)
    assert {name: state.level for name, state in states.items()} == {"github": OK, "github_token": OK}
    (request,) = upstream.seen
    assert (request.method, request.path) == ("GET", "/rate_limit")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    (offset_s,) = offsets
    assert offset_s is not None
    assert abs(offset_s) < 5
    assert TOKEN not in repr(states)


def test_a_revoked_token_is_down_at_the_first_look_with_what_to_do(
    configure: Configure, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    upstream.answer = plain(401, {"message": "Bad credentials"})
    states = look_at_github(configure(f'[github]\napi_url = "{upstream.url}"\n'))
    assert states["github"].level is OK
    assert states["github_token"].level is DOWN
    assert not states["github_token"].is_doubtful
    assert "squire secrets set github-token" in states["github_token"].hint


def test_a_token_that_lapses_soon_is_degraded(
    configure: Configure, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    lapses = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + 86400))
    upstream.answer = plain(200, {}, {EXPIRY: lapses})
    states = look_at_github(configure(f'[github]\napi_url = "{upstream.url}"\n'))
    assert states["github_token"].level is DEGRADED
    assert "lapses at" in states["github_token"].reason


def test_the_clock_is_compared_with_the_answers_date(
    configure: Configure, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.answer = plain(200, {}, {"date": formatdate(usegmt=True)})
    offsets: list[float | None] = []
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    settings = configure(f'[github]\napi_url = "{upstream.url}"\n')
    look_at_github(settings, offsets.append, now=lambda: time.time() + 3600)
    assert offsets[0] is not None
    assert abs(offsets[0] - 3600) < 10


def test_github_that_is_not_there_is_doubtful_and_says_nothing_of_the_token(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", TOKEN)
    offsets: list[float | None] = []
    states = look_at_github(configure(f'[github]\napi_url = "http://127.0.0.1:{free_port()}"\n'), offsets.append)
    assert set(states) == {"github"}
    assert states["github"].is_doubtful
    assert offsets == [None]


def test_without_a_token_nobody_is_asked_and_it_is_named_where_there_is_something_to_do(
    configure: Configure, upstream: DirectedProvider
) -> None:
    section = f'[github]\napi_url = "{upstream.url}"\n'
    assert look_at_github(configure(section)) == {}
    states = look_at_github(configure(f'repositories = ["acme/shop"]\n{section}'))
    assert states["github_token"].level is DOWN
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01 10:00:00 UTC", "2026-12-01T10:00:00+00:00"),
        ("2026-12-01 10:00:00 +0200", "2026-12-01T08:00:00+00:00"),
        ("soon", None),
        ("", None),
    ],
)
def test_when_a_token_lapses_is_read_in_both_forms(text: str, moment: str | None) -> None:
    expiry = read_expiry(text)
    assert (expiry.isoformat() if expiry else None) == moment


def test_a_models_key_that_is_refused_is_degraded_for_the_planner_alone(
    configure: Configure, upstream: DirectedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_OWN_KEY", "k" * 30)
    settings = configure(
        f'[providers.own]\nprotocol = "openai"\nbase_url = "{upstream.url}"\nsecret = "own-key"\n'
        '[planner]\nprovider = "own"\nmodel = "big"\n[agent]\nkind = "command"\ncommand = ["true"]\nrunner = "local"\n'
    )
    upstream.answer = plain(200, {"id": "big"})
    assert look_at_models(settings)["models"].level is OK
    upstream.answer = plain(401, {"error": {"code": "invalid_api_key"}})
    state = look_at_models(settings)["models"]
    assert state.level is DEGRADED
    assert state.reason.startswith("planner: ")
    assert state.hint
