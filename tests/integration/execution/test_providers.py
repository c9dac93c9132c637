"""A planner and an agent with providers of their own, side by side, and an attempt whose provider lacks its key."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic_ai import models
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError, SecretMissingError
from squire_pipelines.execution import gateway_session
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.startable import check_agent_of, why_not_startable
from squire_pipelines.ledger import task_dispatch, tasks
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings import Settings, load_settings
from tests.integration.planning.test_protocols import ANSWERS
from tests.support.ledgers import REPOSITORY, add_task, claim, sqlite_ledger_file
from tests.support.provider import DirectedProvider, plain, serve_upstream
from tests.support.signal_samples import issue

PLANNERS_KEY, AGENTS_KEY = "planner-" + "p" * 20, "agent-" + "a" * 20
MESSAGE = {"model": "haiku", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def upstreams() -> Iterator[tuple[DirectedProvider, DirectedProvider]]:
    with serve_upstream() as first, serve_upstream() as second:
        yield first, second


@pytest.fixture
def settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstreams: tuple[DirectedProvider, DirectedProvider]
) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    monkeypatch.setenv("SQUIRE_GPT_KEY", PLANNERS_KEY)
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", AGENTS_KEY)
    planner, agent = upstreams
    (home / "config.toml").write_text(
        f'repositories = ["{REPOSITORY}"]\n'
        f'[providers.gpt]\nprotocol = "openai"\nbase_url = "{planner.url}"\nsecret = "gpt-key"\n'
        f'[providers.claude]\nprotocol = "anthropic"\nbase_url = "{agent.url}"\nsecret = "claude-key"\n'
        '[planner]\nprovider = "gpt"\nmodel = "big"\nmax_retries = 0\n'
        '[agent]\nkind = "claude-code"\nprovider = "claude"\nmodel = "haiku"\n[gateway]\ncheckpoint_s = 0.05\n'
    )
    sqlite_ledger_file(home / "ledger.sqlite")
    return load_settings()


def queue(ledger: Ledger, settings: Settings) -> str:
    add_task(ledger)
    with ledger.write() as tx:
        (queued,) = task_dispatch.dispatch(
            tx, max_concurrent=9, max_per_repository=9, claim_deadline_s=60, limits_of=settings.budgets_for
        )
    return queued.id


def lease(settings: Settings) -> LeasedAttempt:
    ledger = open_ledger(settings.resolved_ledger_url)
    leased = claim(ledger, queue(ledger, settings))
    with ledger.read() as tx:
        task = tasks.get(tx, leased.task_id)
    token = leased.lease_token or ""
    return LeasedAttempt(leased, task, token, ledger, settings, Heartbeat(ledger, leased.id, token, lease_s=60))


def test_planner_and_agent_call_their_own_providers_each_with_its_own_key(
    settings: Settings, upstreams: tuple[DirectedProvider, DirectedProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "ALLOW_MODEL_REQUESTS", True)
    planner, agent = upstreams
    planner.answer, agent.answer = plain(200, ANSWERS["openai"]), plain(200, ANSWERS["anthropic"])
    key = find_secret(settings.planner_provider.secret, settings.home)
    assert key is not None
    planning = make_plan(
        settings,
        REPOSITORY,
        [issue(10)],
        default_branch="main",
        covered=frozenset(),
        api_key=key.reveal,
        on_call=lambda _call: None,
        reserve=lambda: None,
    )
    leased = lease(settings)
    with gateway_session.open_gateway(leased, settings) as session:
        assert session is not None
        transport = httpx.HTTPTransport(uds=str(session.socket_path))
        with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
            answered = client.post("/v1/messages", json=MESSAGE)
            wrong = client.post("/v1/chat/completions", json={**MESSAGE, "model": "haiku"})
        made = asyncio.run(planning)
    assert made.planner == "llm:big"
    assert answered.status_code == 200
    assert (wrong.status_code, "protocol anthropic" in wrong.text) == (400, True)
    assert [request.path.partition("?")[0] for request in planner.seen] == ["/v1/chat/completions"]
    assert [request.path.partition("?")[0] for request in agent.seen] == ["/v1/messages"]
    assert planner.seen[0].headers["authorization"] == f"Bearer {PLANNERS_KEY}"
    assert agent.seen[0].headers["x-api-key"] == AGENTS_KEY
    assert AGENTS_KEY not in str(planner.seen)
    assert PLANNERS_KEY not in str(agent.seen)
    assert AGENTS_KEY not in answered.text + wrong.text
    with leased.ledger.read() as tx:
        rows = tx.execute(select(model_calls.c.provider, model_calls.c.model, model_calls.c.ok)).all()
    assert sorted(map(tuple, rows)) == [("claude", "", False), ("claude", "haiku", True)]


def test_a_missing_key_is_told_before_the_attempt_is_claimed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SQUIRE_CLAUDE_KEY")
    with pytest.raises(SecretMissingError, match="the provider claude needs the key claude-key, which is not set"):
        check_agent_of(settings, REPOSITORY)
    ledger = open_ledger(settings.resolved_ledger_url)
    ending = why_not_startable(ledger, settings, queue(ledger, settings))
    assert ending is not None
    assert ending.cause is Cause.NOT_STARTABLE
    assert "`squire secrets set claude-key`" in ending.message
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", AGENTS_KEY)
    check_agent_of(settings, REPOSITORY)


def test_an_agent_that_does_not_speak_its_providers_protocol_is_refused(settings: Settings) -> None:
    other = settings.agent.model_copy(update={"kind": "opencode"})
    with pytest.raises(ConfigError, match="the agent opencode speaks openai, and its provider anthropic"):
        check_agent_of(settings.model_copy(update={"agent": other}), REPOSITORY)
    unnamed = settings.agent.model_copy(update={"provider": None})
    nowhere = settings.planner.model_copy(update={"provider": None})
    with pytest.raises(ConfigError, match="the agent claude-code speaks anthropic, and its provider openai"):
        check_agent_of(settings.model_copy(update={"agent": unnamed, "planner": nowhere}), REPOSITORY)
