"""An attempt's gateway and its usage records: what is opened, what reaches the ledger, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest.mock import ANY

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.domain.budgets import Amount
from squire_pipelines.domain.debugging import DebugWindow
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.errors import LedgerError
from squire_pipelines.execution import gateway_session, usage_recorder
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.ledger import attempts, task_dispatch, tasks
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.observability.debugging import write_windows
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.trusted_certificates import tls_context
from tests.support.counted import counted_in
from tests.support.ledgers import REPOSITORY, RETRY, add_task, claim, reservation, sqlite_ledger_file
from tests.support.provider import Answer, DirectedProvider, plain, serve_upstream

CHAT = "/v1/chat/completions"
BODY = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def upstream() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        yield made


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: DirectedProvider) -> Callable[..., Settings]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    monkeypatch.setenv("SQUIRE_CONFIG", str(home / "config.toml"))
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "k" * 20)

    def write(more: str = "", *, kind: str = 'kind = "opencode"\nmodel = "small"') -> Settings:
        url = f"sqlite:///{home / 'ledger.sqlite'}"
        (home / "config.toml").write_text(
            f'repositories = ["{REPOSITORY}"]\nledger_url = "{url}"\n'
            f'[agent]\n{kind}\nbase_url = "{upstream.url}"\n'
            f"[gateway]\ncheckpoint_s = 0.05\n{more}"
        )
        if not (home / "ledger.sqlite").exists():
            sqlite_ledger_file(home / "ledger.sqlite")
        return load_settings()

    return write


def lease(settings: Settings) -> LeasedAttempt:
    ledger = open_ledger(settings.resolved_ledger_url)
    add_task(ledger)
    with ledger.write() as tx:
        (queued,) = task_dispatch.dispatch(
            tx, max_concurrent=9, max_per_repository=9, claim_deadline_s=60, limits_of=settings.budgets_for
        )
    leased = claim(ledger, queued.id)
    with ledger.read() as tx:
        task = tasks.get(tx, leased.task_id)
    token = leased.lease_token or ""
    return LeasedAttempt(leased, task, token, ledger, settings, Heartbeat(ledger, leased.id, token, lease_s=60))


def post(session: gateway_session.GatewaySession, body: Mapping[str, object] = BODY) -> httpx.Response:
    transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
    with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
        return client.post(CHAT, json=body)


def rows(ledger: Ledger, attempt_id: str) -> list[tuple[object, ...]]:
    columns = (model_calls.c.input_tokens, model_calls.c.output_tokens, model_calls.c.cost_usd, model_calls.c.error)
    with ledger.read() as tx:
        recorded = tx.execute(select(*columns).where(model_calls.c.attempt_id == attempt_id).order_by(model_calls.c.id))
        return [tuple(row) for row in recorded]


PRICED = "[gateway.prices.small]\ninput = 1\noutput = 1\n"


def test_calls_and_what_is_spent_reach_the_ledger_while_the_agent_works(configure: Callable[..., Settings]) -> None:
    leased = lease(configure(PRICED + "[budgets.attempt]\nusd = 1\n"))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert post(session).status_code == 200
        pause = threading.Event()
        for _ in range(1200):
            with leased.ledger.read() as tx:
                row = reservation(tx, leased.attempt.id)
            # While a call is under way its largest cost is counted; once it is over, what it used.
            if row is not None and row.spent.tokens == 7:
                break
            pause.wait(0.05)
        assert row is not None
        assert (row.state, row.spent.tokens, row.spent_requests) == ("open", 7, 1)
        assert row.spent.usd == pytest.approx(7e-6)
        assert row.reserved == Amount(1.0, 0)
    assert rows(leased.ledger, leased.attempt.id) == [(5, 2, pytest.approx(7e-6), None)]
    assert session.facts() == {"calls": 1, "tokens": 7, "usd": pytest.approx(7e-6), "answers": 1}
    assert not session.socket_path.parent.exists()


@pytest.mark.parametrize("debugged", [REPOSITORY, "acme/other"])
def test_bodies_are_kept_while_the_repository_is_debugged(configure: Callable[..., Settings], debugged: str) -> None:
    settings, now = configure(PRICED), datetime.now(UTC)
    write_windows(settings.home.debug_file, (DebugWindow(debugged, now, now + timedelta(hours=1), "ann"),))
    leased = lease(settings)
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert post(session).status_code == 200
    folder = usage_recorder.call_log_folder(leased.settings, leased.attempt.id)
    assert ("hello" in "".join(path.read_text() for path in folder.glob("*.bodies"))) == (debugged == REPOSITORY)


def test_an_agent_that_calls_no_model_gets_no_door_unless_a_way_out_is_open(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    command = 'kind = "command"\ncommand = ["true"]'
    leased = lease(configure(kind=command))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is None
    way = f'egress = ["reg"]\nallow_private = true\n[gateway.registries.reg]\nbase_url = "{upstream.url}"\n'
    opened = configure(way, kind=command)
    with gateway_session.open_gateway(leased, opened) as session:
        assert session is not None
        assert post(session).json()["error"]["code"] == "model"
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
        with httpx.Client(transport=transport, base_url="http://g", timeout=30) as client:
            assert client.get("/egress/reg/p").status_code == 200
    (host,) = session.gateway.status.hosts
    assert session.facts()[f"egress {host}"] == {
        "requests": 1,
        "received_bytes": 55,
        "sent_bytes": len(upstream.url) + 2,
    }
    environment = gateway_session.egress_environment(opened.gateway_settings_for(REPOSITORY))
    assert environment["SQUIRE_EGRESS_REG"] == "http://127.0.0.1:@SQUIRE_PORT@/egress/reg/"
    assert [error for *_, error in rows(leased.ledger, leased.attempt.id)] == ["model"]


@pytest.mark.slow
def test_a_used_up_budget_is_the_attempts_cause(configure: Callable[..., Settings]) -> None:
    leased = lease(configure("[budgets.attempt]\ntokens = 40\n"))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        codes = [post(session).status_code for _ in range(6)]
        assert codes[0] == 200
        assert codes[-1] == 400
        assert not session.is_overdue
    failed = session.revise(Ending(cause=Cause.PROVIDER_ERROR, message="the provider said 403"))
    assert (failed.cause, failed.transient) == (Cause.BUDGET_EXHAUSTED, False)
    assert "40 tokens" in failed.message
    assert failed.evidence.facts["ended_as"] == "provider_error: the provider said 403"
    done = session.revise(Ending(cause=Cause.COMPLETED, message="done"))
    assert done.cause is Cause.COMPLETED
    assert "gateway" in done.evidence.facts
    cancelled = session.revise(Ending(cause=Cause.CANCELLED, message="a person did"))
    assert cancelled.cause is Cause.CANCELLED


def seen_by(session: gateway_session.GatewaySession, calls: int) -> GatewaySeen:
    """What the gateway has counted once it has counted so many calls."""
    pause = threading.Event()
    for _ in range(1200):
        if session.gateway.status.seen.calls >= calls:
            break
        pause.wait(0.05)
    return session.gateway.status.seen


def test_the_evidence_says_in_how_many_calls_the_agent_was_told_of_its_cap(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    upstream.answer = plain(200, {"usage": {"prompt_tokens": 850, "completion_tokens": 1}})
    leased = lease(configure("[budgets.attempt]\ntokens = 1000\n"))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        post(session)
        assert seen_by(session, 1).notices == 0
        assert "cap_notices" not in session.facts()
        post(session)
        seen_by(session, 2)
    assert session.facts()["cap_notices"] == 1
    assert b"85 % of the budget" in upstream.seen[1].body


def test_a_refused_key_is_for_the_user_to_change(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    upstream.answer = plain(401, {"error": {"code": "invalid_api_key"}})
    leased = lease(configure())
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert [post(session).status_code for _ in range(3)] == [400] * 3
        assert seen_by(session, 3).final == "provider_refused"
        assert not session.is_overdue, "it has a minute to understand"
    assert len(upstream.seen) == 1
    for cause in (Cause.AGENT_ERROR, Cause.NO_CHANGES, Cause.PROVIDER_ERROR, Cause.COMPLETED, Cause.TIMEOUT):
        ending = session.revise(Ending(cause=cause, message="exit code 1"))
        assert (ending.cause, ending.transient) == (Cause.CONFIGURATION, False)
        assert "refuses the key model-key (401 invalid_api_key)" in ending.message
        assert "goes on by itself after the change" in ending.message
        assert ending.evidence.settings_mark == settings_mark(leased.settings, REPOSITORY)
        assert ending.waits_for_user
        facts = ending.evidence.facts["gateway"]
        assert isinstance(facts, dict)
        assert (facts["failures"], facts["last_error"], facts["last_status"]) == (1, "invalid_api_key", 401)
        assert ending.evidence.facts["ended_as"] == f"{cause}: exit code 1"
    memory = session.revise(Ending(cause=Cause.OUT_OF_MEMORY, message="x"))
    assert memory.cause is Cause.OUT_OF_MEMORY, "that has causes of its own"


@pytest.mark.parametrize("answer", [plain(200, {}), plain(500, {"error": {"code": "overloaded"}})])
def test_an_agent_that_was_answered_nothing_to_the_last_failed_by_its_provider(
    configure: Callable[..., Settings], upstream: DirectedProvider, answer: Answer
) -> None:
    leased = lease(configure())
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert post(session).status_code == 200
        seen_by(session, 1)
        upstream.answer = answer
        for _ in range(2):
            post(session)
        seen_by(session, 3)
    for cause in (Cause.NO_CHANGES, Cause.AGENT_ERROR):
        ending = session.revise(Ending(cause=cause, message="nothing to do"))
        assert (ending.cause, ending.transient) == (Cause.PROVIDER_ERROR, True)
        assert "failed 2 times in a row at the end" in ending.message
    done = session.revise(Ending(cause=Cause.COMPLETED, message="done"))
    assert done.cause is Cause.COMPLETED, "what it finished all the same is its work"


def test_an_agent_that_was_answered_at_the_last_ended_by_itself(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    answers = upstream.answer
    leased = lease(configure())
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        upstream.answer = plain(500, {})
        post(session)
        seen_by(session, 1)
        upstream.answer = answers
        post(session)
        assert seen_by(session, 2).failing == 0
    ending = session.revise(Ending(cause=Cause.NO_CHANGES, message="nothing to do"))
    assert ending.cause is Cause.NO_CHANGES


def test_a_provider_is_asked_as_often_as_the_settings_say(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    upstream.answer = plain(500, {})
    leased = lease(configure("max_failures = 2\n"))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        for calls in (1, 2):
            assert post(session).status_code == 500
            seen_by(session, calls)  # a call is counted after its answer has gone to the agent
        assert [post(session).status_code for _ in range(2)] == [400, 400]
    assert len(upstream.seen) == 2


def test_a_price_that_nobody_knows_is_said(configure: Callable[..., Settings]) -> None:
    leased = lease(configure("[budgets.attempt]\nusd = 1\n"))
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert post(session).json()["error"]["code"] == "price_unknown"
    ending = session.revise(Ending(cause=Cause.AGENT_ERROR, message="exit code 1"))
    assert ending.cause is Cause.BUDGET_EXHAUSTED
    assert "price of small" in ending.message
    assert session.facts()["price_unknown"] == ["small"]


@pytest.mark.slow
def test_a_ledger_that_does_not_answer_loses_nothing(configure: Callable[..., Settings]) -> None:
    leased = lease(configure())
    broken = _Broken(leased.ledger)
    recorder = usage_recorder.UsageRecorder(broken, leased.attempt, every_s=10)  # type: ignore[arg-type]  # as much of a ledger as is used
    recorder.add(_call("a:1"))
    assert not recorder.flush()
    broken.works = True
    assert recorder.flush()
    assert recorder.flush()
    assert len(rows(leased.ledger, leased.attempt.id)) == 1


def test_times_and_retries_of_calls_are_counted_once_whoever_brings_the_calls(
    configure: Callable[..., Settings], tmp_path: Path
) -> None:
    leased = lease(configure())
    calls = [replace(_call("a:1"), is_left=True), replace(_call("a:2"), first_piece_s=0.3)]
    folder = usage_recorder.call_log_folder(leased.settings, leased.attempt.id)
    folder.mkdir(parents=True)
    lines = [json.dumps(asdict(call), default=str) for call in calls]
    (folder / "calls-0123abcd.jsonl").write_text("\n".join(lines))
    with counted_in(tmp_path / "metrics") as counts:
        with usage_recorder.UsageRecorder(leased.ledger, leased.attempt, every_s=10) as recorder:
            recorder.add(calls[0])  # the other one was known to the log alone when the gateway was killed
        for _ in range(2):
            usage_recorder.recover_calls(leased.ledger, leased.settings, leased.attempt)
        assert counts("squire_model_first_token_seconds") == counts("squire_model_retries_total") == {"agent": 1}


def test_refused_calls_do_not_flood_the_ledger(configure: Callable[..., Settings]) -> None:
    leased = lease(configure())
    with usage_recorder.UsageRecorder(leased.ledger, leased.attempt, every_s=10) as recorder:
        for number in range(300):
            recorder.add(_call(f"a:{number}", forwarded=False))
        recorder.add(_call("a:way", target="registry.example.com"))
    assert len(rows(leased.ledger, leased.attempt.id)) == 200


def test_calls_that_come_late_settle_the_budget_again(configure: Callable[..., Settings]) -> None:
    leased = lease(configure())
    with leased.ledger.write() as tx:
        attempts.settle(
            tx, leased.attempt.id, leased.token, Ending(cause=Cause.TIMEOUT, message="x"), retry=RETRY, actor="run"
        )
    with leased.ledger.write() as tx:
        assert usage_recorder.write_calls(tx, leased.attempt, [_call("a:1"), _call("a:1")]) == [ANY]
        row = reservation(tx, leased.attempt.id)
    assert row is not None
    assert row.spent.tokens == 10


class _Broken:
    """A ledger that does not answer until it works."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.works = False

    def write(self) -> object:
        if not self.works:
            raise LedgerError("away")
        return self._ledger.write()


def _call(call_id: str, *, forwarded: bool = True, target: str = "model") -> GatewayCall:
    from datetime import UTC, datetime  # noqa: PLC0415 - here alone

    return GatewayCall(
        path=CHAT,
        model="small",
        status=200,
        started_at=datetime.now(UTC),
        latency_s=0.1,
        input_tokens=4,
        output_tokens=6,
        call_id=call_id,
        forwarded=forwarded,
        target=target,
    )


SUPERVISOR = """
import sys, threading
from squire_pipelines.execution import gateway_session, usage_recorder
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.store import open_ledger
from squire_pipelines.settings.model import load_settings
settings = load_settings()
ledger = open_ledger(settings.resolved_ledger_url)
with ledger.read() as tx:
    attempt = attempts.get(tx, sys.argv[1])
    task = tasks.get(tx, attempt.task_id)
leased = LeasedAttempt(attempt, task, attempt.lease_token, ledger, settings, None)
with gateway_session.open_gateway(leased, settings) as session:
    print(session.socket_path, flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.slow
def test_a_supervisor_killed_in_mid_stream_leaves_every_token_that_passed(
    configure: Callable[..., Settings], upstream: DirectedProvider
) -> None:
    leased = lease(configure(PRICED + "[budgets.attempt]\ntokens = 100000\n[budgets.day]\ntokens = 200000\n"))
    release = threading.Event()
    piece = json.dumps({"choices": [{"index": 0, "delta": {"content": "wo "}}]})

    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for number in range(80):
            if number == 60:
                release.wait(20)
            handler.wfile.write(f"data: {piece}\n\n".encode())
            handler.wfile.flush()

    argv = [sys.executable, "-c", SUPERVISOR, leased.attempt.id]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        assert process.stdout is not None
        socket = Path(process.stdout.readline().strip())
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(socket))
        received = 0
        try:
            with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
                assert client.post(CHAT, json=BODY).status_code == 200
                upstream.answer = stream
                with client.stream("POST", CHAT, json={**BODY, "stream": True, "max_tokens": 300}) as answer:
                    for line in answer.iter_lines():
                        received += "wo " in line
                        if received == 55:
                            os.kill(process.pid, signal.SIGKILL)
        except httpx.HTTPError:
            assert received >= 55
        process.wait(10)
    release.set()
    upstream.answer = lambda handler: handler.send_error(500)
    # Another run of the attempt finds the place of the socket again, and what was spent counts for its cap.
    with gateway_session.open_gateway(leased, leased.settings) as session:
        assert session is not None
        assert session.socket_path == socket
        assert session.gateway.status.totals.tokens >= 7 + received
    usage_recorder.recover_calls(leased.ledger, leased.settings, leased.attempt)
    finished, cut = rows(leased.ledger, leased.attempt.id)
    assert finished[:2] == (5, 2)
    assert cut[3] == "interrupted"
    assert received <= int(str(cut[1])) == 300, "nobody knows what more the provider wrote: its reservation"
    with leased.ledger.write() as tx:
        attempts.settle(
            tx, leased.attempt.id, leased.token, Ending(cause=Cause.LOST, message="x"), retry=RETRY, actor="reaper"
        )
        row = reservation(tx, leased.attempt.id)
    assert row is not None
    assert row.state == "settled"
    assert row.spent.tokens == 7 + int(str(cut[0])) + int(str(cut[1]))
    assert row.spent.usd > 0
    gateway_session.remove_socket(leased.settings, leased.attempt.id)
    assert not socket.parent.exists()


@pytest.mark.slow
def test_a_reviewer_is_told_that_the_provider_could_search_the_web(configure: Callable[..., Settings]) -> None:
    body = {**BODY, "web_search_options": {}}
    for text, note in (("", None), ("web_search = true\n", "could search the web in 2 of the calls")):
        leased = lease(configure(text))
        with gateway_session.open_gateway(leased, leased.settings) as session:
            assert session is not None
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(session.socket_path))
            with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
                assert [client.post(CHAT, json=sent).status_code for sent in (BODY, body, body)] == [200] * 3
        remark = usage_recorder.web_search_note(leased.settings, leased.attempt.id)
        assert remark is None if note is None else note in (remark or "")
        marked = select(model_calls.c.web_search).where(model_calls.c.attempt_id == leased.attempt.id)
        with leased.ledger.read() as tx:
            assert sorted(tx.execute(marked).scalars()) == [False, note is not None, note is not None]
