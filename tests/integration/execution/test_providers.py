"""A planner and an agent with providers of their own, side by side, and an attempt whose provider lacks its key."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.agents.adapters.protocol import AgentConfig
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.provider_order import order_providers
from squire_pipelines.errors import ConfigError, ProviderBudgetError, SecretMissingError
from squire_pipelines.execution import gateway_session
from squire_pipelines.execution.ending import ending_of
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.execution.startable import check_agent_of, check_day_limits, why_not_startable
from squire_pipelines.execution.workspace import launch_of
from squire_pipelines.ledger import task_dispatch, tasks
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.trusted_certificates import tls_context
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
    settings: Settings, upstreams: tuple[DirectedProvider, DirectedProvider]
) -> None:
    planner, agent = upstreams
    planner.answer, agent.answer = plain(200, ANSWERS["openai"]), plain(200, ANSWERS["anthropic"])
    key = find_secret(settings.planner_providers()[0].secret, settings.secret_sources)
    assert key is not None
    planning = make_plan(
        settings,
        REPOSITORY,
        [issue(10)],
        default_branch="main",
        covered=frozenset(),
        find_key=lambda _name: key,
        on_call=lambda _call: None,
        reserve=lambda _provider: None,
    )
    leased = lease(settings)
    with gateway_session.open_gateway(leased, settings) as session:
        assert session is not None
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
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


@pytest.mark.parametrize("key", ["sk-\u2013" + "k" * 20, "\ufeffsk-" + "k" * 20, "sk-" + "k" * 20 + "\n" + "k" * 20])
def test_a_key_that_no_request_can_have_is_told_before_the_attempt_is_claimed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", key)
    with pytest.raises(SecretMissingError, match="has a character that no key has") as caught:
        check_agent_of(settings, REPOSITORY)
    assert "`squire secrets set claude-key`" in (caught.value.hint or "")
    with (
        pytest.raises(SecretMissingError, match="has a character"),
        gateway_session.open_gateway(lease(settings), settings),
    ):
        pass


def test_an_agent_that_does_not_speak_its_providers_protocol_is_refused(settings: Settings) -> None:
    other = settings.agent.model_copy(update={"kind": "opencode"})
    with pytest.raises(ConfigError, match="the agent opencode speaks openai, and its provider anthropic"):
        check_agent_of(settings.model_copy(update={"agent": other}), REPOSITORY)
    unnamed = settings.agent.model_copy(update={"provider": None})
    nowhere = settings.planner.model_copy(update={"provider": None})
    with pytest.raises(ConfigError, match="the agent claude-code speaks anthropic, and its provider openai"):
        check_agent_of(settings.model_copy(update={"agent": unnamed, "planner": nowhere}), REPOSITORY)


@pytest.mark.parametrize("kind", ["copilot", "pi", "qwen", "aider"])
def test_an_agent_is_started_in_the_protocol_by_which_it_was_found_startable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "m" * 20)
    for protocol, url in (("anthropic", "https://api.anthropic.com/v1"), ("openai", "https://api.openai.com/v1")):
        agent = AgentSettings(kind=kind, model="m", base_url=url)
        unnamed = settings.model_copy(update={"agent": agent})
        check_agent_of(unnamed, REPOSITORY)
        launch = find(kind).launch(AgentConfig(model="m", protocol=protocol))
        started = launch_of(replace(lease(settings), settings=unnamed))
        assert (started.argv, started.files, started.home) == (launch.argv, launch.files, launch.home)
        assert launch.environment.items() <= started.environment.items()


BOTH = {"SQUIRE_CLAUDE_KEY": AGENTS_KEY, "SQUIRE_SPARE_KEY": "spare-" + "s" * 20}


@pytest.fixture
def both_keys(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:  # noqa: ARG001 - sets a key of its own
    """Both providers have their keys."""
    for name, value in BOTH.items():
        monkeypatch.setenv(name, value)


def with_a_spare(home: Path, upstreams: tuple[DirectedProvider, DirectedProvider], choice: str) -> Settings:
    """Settings whose agent has two providers of one protocol, each with its own name for the model."""
    first, spare = upstreams
    (home / "config.toml").write_text(
        f'repositories = ["{REPOSITORY}"]\n'
        f'[providers.claude]\nprotocol = "anthropic"\nbase_url = "{first.url}"\nsecret = "claude-key"\n'
        f'[providers.spare]\nprotocol = "anthropic"\nbase_url = "{spare.url}"\nsecret = "spare-key"\n'
        'models = ["haiku@spare"]\naliases = {haiku = "haiku@spare"}\n'
        f'[agent]\nkind = "claude-code"\nprovider = {choice}\nmodel = "haiku"\n[gateway]\ncheckpoint_s = 0.05\n'
    )
    return load_settings()


def ask_through(leased: LeasedAttempt) -> tuple[gateway_session.GatewaySession, httpx.Response]:
    """Open the attempt's gateway, and ask once."""
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
        with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
            answer = client.post("/v1/messages", json=MESSAGE)
    return session, answer


@pytest.mark.usefixtures("both_keys")
def test_an_attempt_goes_on_with_the_next_provider_and_its_evidence_says_why(
    tmp_path: Path, upstreams: tuple[DirectedProvider, DirectedProvider]
) -> None:
    first, spare = upstreams
    first.answer = plain(401, {"error": {"type": "authentication_error"}})
    spare.answer = plain(200, ANSWERS["anthropic"])
    leased = lease(with_a_spare(tmp_path / "home", upstreams, '["claude", "spare"]'))
    session, answer = ask_through(leased)
    assert answer.status_code == 200
    assert b'"haiku@spare"' in spare.seen[0].body
    assert (first.seen[0].headers["x-api-key"], spare.seen[0].headers["x-api-key"]) == tuple(BOTH.values())
    with leased.ledger.read() as tx:
        columns = model_calls.c.provider, model_calls.c.model, model_calls.c.ok, model_calls.c.status
        rows = tx.execute(select(*columns)).all()
    assert sorted(map(tuple, rows)) == [("claude", "haiku", False, 401), ("spare", "haiku@spare", True, 200)]
    facts = session.facts()
    providers = facts["providers"]
    assert isinstance(providers, dict)
    claude = providers["claude"]
    assert isinstance(claude, dict)
    assert claude["calls"] == 1
    assert "refuses the key claude-key (401 authentication_error)" in str(claude["left"])
    assert providers["spare"] == {"calls": 1, "answers": 1}
    completed = Ending(cause=Cause.COMPLETED, message="done")
    assert session.revise(completed).cause is Cause.COMPLETED, "the first one's fault ended nothing"


@pytest.mark.usefixtures("settings")
def test_a_provider_without_its_key_is_left_out_and_all_without_are_told_before_the_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    upstreams: tuple[DirectedProvider, DirectedProvider],
) -> None:
    monkeypatch.delenv("SQUIRE_CLAUDE_KEY")
    both = with_a_spare(tmp_path / "home", upstreams, '["claude", "spare"]')
    with pytest.raises(SecretMissingError, match="the provider claude needs the key claude-key"):
        check_agent_of(both, REPOSITORY)
    monkeypatch.setenv("SQUIRE_SPARE_KEY", BOTH["SQUIRE_SPARE_KEY"])
    check_agent_of(both, REPOSITORY)
    session, answer = ask_through(lease(both))
    assert answer.status_code == 200
    first, spare = upstreams
    assert (len(first.seen), len(spare.seen)) == (0, 1)
    assert "needs the key claude-key, which is not set" in str(session.facts()["providers"])


@pytest.mark.usefixtures("both_keys")
@pytest.mark.parametrize("choice", ['["claude", "spare"]', '"claude"'])
def test_an_attempt_whose_providers_all_lost_their_keys_ends_before_its_agent_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    upstreams: tuple[DirectedProvider, DirectedProvider],
    choice: str,
) -> None:
    leased = lease(with_a_spare(tmp_path / "home", upstreams, choice))
    for name in BOTH:
        monkeypatch.delenv(name)
    with pytest.raises(SecretMissingError) as raised, gateway_session.open_gateway(leased, leased.settings):
        pass
    ending = ending_of(raised.value)
    assert (ending.cause, ending.waits_for_user) == (Cause.CONFIGURATION, True)
    assert ending.evidence.settings_mark == settings_mark(leased.settings, REPOSITORY)
    assert "`squire secrets set claude-key`" in ending.message
    assert ("`squire secrets set spare-key`" in ending.message) is ("spare" in choice)
    assert "goes on by itself after the change" in ending.message


@pytest.mark.usefixtures("both_keys")
def test_an_attempt_asks_first_the_provider_that_its_id_draws(
    tmp_path: Path, upstreams: tuple[DirectedProvider, DirectedProvider]
) -> None:
    weighted = with_a_spare(tmp_path / "home", upstreams, "{claude = 1, spare = 1}")
    leased = lease(weighted)
    ask_through(leased)
    drawn = order_providers({"claude": 1, "spare": 1}, leased.attempt.id)[0]
    assert [name for name, seen in zip(("claude", "spare"), upstreams, strict=True) if seen.seen] == [drawn]


@pytest.mark.usefixtures("both_keys")
def test_a_provider_whose_day_is_used_up_is_not_asked_and_without_another_the_task_waits(
    tmp_path: Path, upstreams: tuple[DirectedProvider, DirectedProvider]
) -> None:
    first, spare = upstreams
    spare.answer = plain(200, ANSWERS["anthropic"])
    with_a_spare(tmp_path / "home", upstreams, '["claude", "spare"]')
    path = tmp_path / "home" / "config.toml"
    price = '[gateway.prices."haiku@spare"]\ninput = 1\noutput = 1\n[budgets.attempt]\nusd = 2\n'
    path.write_text(
        path.read_text().replace('secret = "claude-key"', 'secret = "claude-key"\nmax_usd_per_day = 5') + price
    )
    both = load_settings()
    leased = lease(both)
    row = ModelCallRow(
        "agent", "haiku", ok=True, input_tokens=1, output_tokens=1, latency_s=1, trace_id="t", cost_usd=4
    )
    with leased.ledger.write() as tx:
        record_model_call(tx, replace(row, provider="claude"))
    session, answer = ask_through(leased)
    assert (answer.status_code, len(first.seen), len(spare.seen)) == (200, 0, 1)
    assert "may cost 5.00 USD a day (max_usd_per_day), of which 4.00 USD" in str(session.facts()["providers"])
    check_day_limits(leased.ledger, both, REPOSITORY)
    path.write_text(path.read_text().replace('provider = ["claude", "spare"]', 'provider = "claude"'))
    alone = load_settings()
    with pytest.raises(
        ProviderBudgetError, match=r"no provider has room for an attempt of 2.00 USD: the provider claude"
    ):
        check_day_limits(leased.ledger, alone, REPOSITORY)
    with (
        pytest.raises(ProviderBudgetError) as raised,
        gateway_session.open_gateway(replace(leased, settings=alone), alone),
    ):
        pass
    assert ending_of(raised.value).cause is Cause.BUDGET_EXHAUSTED
