"""An attempt and a plan of one tenant have that tenant's keys, and no other's anywhere in their process."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from squire_pipelines.errors import SecretMissingError
from squire_pipelines.execution.attempt_providers import find_upstreams
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.repository_settings import repository_settings, settings_in
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.execution.startable import check_agent_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.secrets.lookup import all_secrets, find_secret
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import new_sqlite_ledger
from tests.support.model_server import ModelServer
from tests.support.shared_questions import answer
from tests.support.signal_samples import issue

KEYS = {
    "SQUIRE_CLAUDE_KEY": "key-of-the-house-1",
    "SQUIRE_TENANT_ACME_CLAUDE_KEY": "key-of-acme-22",
    "SQUIRE_TENANT_BETA_CLAUDE_KEY": "key-of-beta-333",
    "SQUIRE_TENANT_BETA_GITHUB_TOKEN": "token-of-beta-4444",
    "SQUIRE_TENANT_ACME_GITHUB_TOKEN": "token-of-acme-55555",
}
REPOSITORIES = {"acme/shop": "key-of-acme-22", "beta/site": "key-of-beta-333", "house/own": "key-of-the-house-1"}


def settings(**values: Any) -> Settings:
    made = Settings(
        repositories=(*REPOSITORIES, "poor/x"),
        providers={"claude": {"protocol": "anthropic"}},
        agent={"kind": "claude-code", "provider": "claude"},
        tenants={
            "acme": {"repositories": ["acme/*"]},
            "beta": {"repositories": ["beta/*"]},
            "poor": {"repositories": ["poor/*"]},
        },
        **values,
    )
    made.check_overrides()
    return made


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return new_sqlite_ledger(tmp_path / "ledger.sqlite")


def upstream_keys(ledger: Ledger, own: Settings, repository: str) -> list[str | None]:
    """Return the keys that the gateway of an attempt there is given."""
    attempt = SimpleNamespace(id="t1-1", choice=None)
    leased = SimpleNamespace(task=SimpleNamespace(repository=repository), attempt=attempt, ledger=ledger, settings=own)
    upstreams, _ = find_upstreams(cast("LeasedAttempt", leased), own, "mark", in_container=False)
    return [upstream.api_key for upstream in upstreams]


def test_a_gateway_gets_its_tenants_key_and_no_other(ledger: Ledger) -> None:
    house = settings()
    for repository, key in REPOSITORIES.items():
        own = settings_in(ledger, house, repository)
        assert upstream_keys(ledger, own, repository) == [key]
        assert upstream_keys(ledger, house, repository) == [key], "whoever's settings are handed on"
    with pytest.raises(SecretMissingError):
        upstream_keys(ledger, settings_in(ledger, house, "poor/x"), "poor/x")


def test_what_an_attempts_process_reads_of_secrets_is_its_tenants(ledger: Ledger) -> None:
    own = settings_in(ledger, settings(), "acme/shop")
    values = {secret.reveal() for secret in all_secrets(own.secret_sources, own.named_secrets)}
    assert values == {"key-of-acme-22", "token-of-acme-55555"}
    assert repository_settings(ledger, settings()).of("beta/site").tenant == "beta"


def test_dispatch_holds_the_tenant_without_a_key_alone(ledger: Ledger) -> None:
    assert ledger
    house = settings()
    asked: list[str] = []

    def find_key(name: str) -> Any:
        asked.append(name)
        return find_secret(name, house.secret_sources)

    for repository in REPOSITORIES:
        check_agent_of(house, repository, find_key=find_key)
    with pytest.raises(SecretMissingError):
        check_agent_of(house, "poor/x", find_key=find_key)
    assert set(asked) == {"acme.claude-key", "beta.claude-key", "claude-key", "poor.claude-key"}
    assert asked.count("claude-key") == 1, "nobody falls back to the house's"


def test_a_tenants_new_key_ends_the_wait_of_its_tasks_and_of_no_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger
    before = {name: settings_mark(settings(), name) for name in REPOSITORIES}
    monkeypatch.setenv("SQUIRE_TENANT_ACME_CLAUDE_KEY", "another-key-of-acme")
    after = {name: settings_mark(settings(), name) for name in REPOSITORIES}
    assert [name for name in REPOSITORIES if before[name] != after[name]] == ["acme/shop"]


def test_what_one_tenants_model_answered_is_no_other_tenants_plan(ledger: Ledger) -> None:
    """The same question of the same repository, before and after it has moved to another tenant."""

    def plan(server: ModelServer, owner: str) -> Any:
        own = Settings(
            repositories=("o/r",),
            planner={"model": "local-model", "base_url": server.url},
            tenants={owner: {"repositories": ["o/r"]}} if owner else {},
        ).for_repository("o/r")
        shared = SharedAnswers(ledger, own.planner)
        return asyncio.run(
            make_plan(
                own,
                "o/r",
                [issue(10)],
                default_branch="main",
                covered=frozenset(),
                find_key=lambda _name: None,
                on_call=lambda _call: None,
                reserve=lambda _provider: None,
                shared=shared,
            )
        )

    with ModelServer([answer(), answer("b"), answer("c")]) as server:
        for owner in ("acme", "acme", "beta", ""):
            plan(server, owner)
        assert len(server.main_requests) == 3
