"""The doors of attempts in the ledger, and a real gateway session that is reached through router and door."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.door import DoorServer
from squire_pipelines.agents.door_router import DoorRouter
from squire_pipelines.agents.door_wire import Verb, new_token
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from squire_pipelines.errors import LeaseLostError
from squire_pipelines.execution.door_registry import LedgerDoorRegistry, door_router, worker_address
from squire_pipelines.execution.gateway_session import open_gateway
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.ledger import adoption, attempt_doors, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.attempts import make_inputs
from tests.support.doors import QUICK, QUICK_ROUTER, call, line, read_all, read_line
from tests.support.ledgers import REPOSITORY, Clock, start_attempt, token_of
from tests.support.provider import DirectedProvider, serve_upstream

BODY = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hello"}]}).encode()


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

    def write(more: str = "") -> Settings:
        (home / "config.toml").write_text(
            f'repositories = ["{REPOSITORY}"]\n[agent]\nkind = "opencode"\nmodel = "small"\n'
            f'base_url = "{upstream.url}"\n{more}'
        )
        return load_settings()

    return write


def lease_of(ledger: Ledger, settings: Settings, attempt: Attempt) -> LeasedAttempt:
    with ledger.read() as tx:
        task = tasks.get(tx, attempt.task_id)
    token = token_of(attempt)
    return LeasedAttempt(attempt, task, token, ledger, settings, Heartbeat(ledger, attempt.id, token, lease_s=60))


def prepared(folder: Path, attempt: Attempt) -> AttemptInputs:
    inputs = make_inputs(folder, attempt_id=attempt.id)
    inputs.folder.inbox.mkdir(parents=True)
    inputs.folder.out.mkdir()
    (inputs.folder.inbox / "task.json").write_text("{}")
    return inputs


def ask(port: int, begin: bytes) -> bytes:
    """Ask the gateway's model by the router; return the whole answer."""
    connection = call(port, begin)
    assert read_line(connection) == b"ok"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n"
    connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + BODY)
    return read_all(connection)


def test_a_container_finds_the_supervisor_that_adopted_its_attempt_and_that_ones_gateway(
    ledger: Ledger, clock: Clock, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    settings, token = configure(), new_token()
    attempt = start_attempt(ledger)
    inputs = prepared(tmp_path, attempt)
    begin = line(inputs.unit, token, Verb.GATEWAY)

    def find(unit: str) -> RegisteredDoor | None:
        with ledger.read() as tx:
            return attempt_doors.find(tx, unit)

    with DoorRouter(find, port=0, limits=QUICK_ROUTER) as router:
        assert read_all(call(router.port, begin)) == b"no away\n"
        first = LedgerDoorRegistry(lease_of(ledger, settings, attempt))
        assert first.token_sha256(inputs.unit) is None
        for number in range(2):  # the second one is the run that adopted the attempt
            leased = lease_of(ledger, settings, attempt)
            registry = LedgerDoorRegistry(leased)
            with open_gateway(leased, settings) as session:
                assert session is not None
                kept = registry.token_sha256(inputs.unit) or token.sha256
                with DoorServer(inputs, kept, gateway_socket=session.socket_path, limits=QUICK) as door:
                    registry.register(inputs.unit, door.address, kept)
                    assert ask(router.port, begin).startswith(b"HTTP/1.1 200")
                    assert session.facts()["calls"] == 1 + number
            # It died: its door is in the ledger still, and leads to nobody.
            assert read_all(call(router.port, begin)) == b"no away\n"
            if not number:
                clock.forward(61)
                with ledger.write() as tx:
                    attempt = adoption.adopt(tx, attempt.id, run_id="run-2", lease_s=60)
        first.remove(inputs.unit)  # too late: the attempt is another's
        with pytest.raises(LeaseLostError):
            first.register(inputs.unit, DoorAddress("127.0.0.1", 1), token.sha256)
        assert registry.token_sha256(inputs.unit) == token.sha256
        registry.remove(inputs.unit)
        assert registry.token_sha256(inputs.unit) is None


def test_a_worker_listens_for_pods_where_the_settings_name_a_door(
    ledger: Ledger, configure: Callable[..., Settings]
) -> None:
    with door_router(ledger, configure()) as router:
        assert router is None
    with DoorRouter(lambda _: None, port=0) as free:
        settings = configure(f'[kubernetes]\ndoor = "squire-door:8788"\ndoor_port = {free.port}\n')
        with door_router(ledger, settings) as router:
            assert router is not None
            assert router.port == free.port


def test_a_machine_is_reached_by_what_the_settings_say_or_by_its_way_to_the_ledger(
    configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker_address(configure()) == "127.0.0.1"
    monkeypatch.setenv("SQUIRE_LEDGER_URL", "postgresql://squire@127.0.0.1/squire")
    assert worker_address(configure()) == "127.0.0.1"
    monkeypatch.setenv("SQUIRE_KUBERNETES__WORKER_ADDRESS", "10.0.0.7")
    assert worker_address(configure()) == "10.0.0.7"
