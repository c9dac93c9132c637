"""The gateway in a container of its own, on a real engine: what it lets pass, what it hides, and what it leaves."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import docker
import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.agents import profile
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError, ImageMissingError, LeaseLostError, NotReachableError, SquireError
from squire_pipelines.gateway.container import (
    ContainerGateway,
    ContainerPlacement,
    bring_log,
    gateway_name,
    list_volumes,
)
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.sensors.reaper import reaper, recovery
from tests.support.counted import counted_in
from tests.support.inspections import Inspections
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = [pytest.mark.docker, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[3]
KEY = "sk-" + "m" * 30
EDIT = Call("bash", {"command": "echo 'by a model' >> README.md; env; ls -la /run/squire", "description": "edit"})


@pytest.fixture
def attempt(
    pipeline: Pipeline, client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Attempt]]:
    """Dispatch an attempt of OpenCode whose gateway is in a container, on the host's network, where the model is."""
    monkeypatch.setenv("SQUIRE_MODEL_KEY", KEY)
    made: list[Attempt] = []

    def one(model: ModelServer, more: str = "") -> Attempt:
        pipeline.commands = {}
        pipeline.configure(
            f'[repository."{LEDGERLIB}".agent]\n'
            f'kind = "opencode"\nrunner = "docker"\nmodel = "scripted"\nbase_url = "{model.url}"\n'
            f'[gateway]\ntransport = "container"\nnetwork = "host"\n[pipeline]\nimage = "{image}"\n{more}'
        )
        made.append(pipeline.attempt(LEDGERLIB))
        return made[-1]

    yield one
    for attempt in made:
        for name in (profile.container_name(attempt.id), gateway_name(attempt.id)):
            for left in client.containers.list(all=True, filters={"name": name}):
                left.remove(force=True, v=True)
        for volume in client.volumes.list(filters={"name": gateway_name(attempt.id)}):
            volume.remove(force=True)


class Watcher:
    """Looks at both containers while they run, and keeps what the engine says about them."""

    def __init__(self, client: docker.DockerClient, attempt_id: str) -> None:
        self.seen: dict[str, Any] = {}
        self._names = (profile.container_name(attempt_id), gateway_name(attempt_id))
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _look(self) -> None:
        while not self._over.wait(0.1) and len(self.seen) < len(self._names):
            for name in self._names:
                try:
                    inspection = self._client.api.inspect_container(name)
                except docker.errors.NotFound:
                    continue
                if inspection["State"]["Running"]:
                    self.seen[name] = inspection


def in_container(
    client: docker.DockerClient, attempt_id: str, folder: Path, *, image: str, network: str = "bridge"
) -> ContainerGateway:
    """A gateway of no attempt that the ledger knows."""
    placement = ContainerPlacement(client, image, network, {profile.LABEL_ATTEMPT: attempt_id})
    config = GatewayConfig(attempt_id, (Upstream("http://127.0.0.1:9/v1", KEY, ("small",)),), every_s=0.1)
    return ContainerGateway(config, placement, on_call=lambda _call: None, log_folder=folder)


def left_of(client: docker.DockerClient, attempt_id: str) -> list[str]:
    """The attempt's containers and volumes that are there."""
    filters: dict[str, str | list[str] | bool] = {"label": f"{profile.LABEL_ATTEMPT}={attempt_id}"}
    containers = [str(item.name) for item in client.containers.list(all=True, filters=filters)]
    return containers + [str(item.name) for item in client.volumes.list(filters=filters)]


def calls(ledger: Ledger, attempt_id: str) -> Sequence[Any]:
    columns = (model_calls.c.input_tokens, model_calls.c.output_tokens, model_calls.c.error)
    with ledger.read() as tx:
        return tx.execute(select(*columns).where(model_calls.c.attempt_id == attempt_id)).all()


def test_an_agent_is_answered_and_nothing_shows_the_key_or_is_left(
    pipeline: Pipeline,
    client: docker.DockerClient,
    attempt: Callable[..., Attempt],
    forge: ForgeProcess,
    tmp_path: Path,
) -> None:
    turns = [Turn(calls=(EDIT,), prompt_tokens=50, completion_tokens=7), Turn(text="Done.")]
    with ModelServer(turns) as model:
        made = attempt(model)
        with (
            Inspections() as inspections,
            Watcher(client, made.id) as watcher,
            counted_in(tmp_path / "counters") as counts,
        ):
            pipeline.agent_run(made)
            assert counts("squire_containers_started_total") == {"agent": 1, "gateway": 1}
            assert counts("squire_model_first_token_seconds") == {"agent": len(model.requests)}
    assert {profile.container_name(made.id), gateway_name(made.id)} <= inspections.containers.keys()
    assert inspections.with_secret([KEY, forge.token]) == []
    ended = pipeline.read_attempt(made.id)
    assert (ended.cause, ended.runner) == (Cause.COMPLETED, "docker")
    assert model.requests
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in model.requests)
    rows = calls(pipeline.ledger, made.id)
    assert len(rows) == len(model.requests)
    assert sum(row.input_tokens for row in rows) >= 150
    assert all(row.error is None for row in rows)

    agent, gateway = (watcher.seen[name] for name in (profile.container_name(made.id), gateway_name(made.id)))
    assert [value for value in gateway["Config"]["Env"] if "SQUIRE" in value] == []
    assert gateway["Config"]["Labels"][profile.LABEL_ROLE] == profile.ROLE_GATEWAY
    assert (gateway["HostConfig"]["CapDrop"], gateway["HostConfig"]["ReadonlyRootfs"]) == (["ALL"], True)
    assert (agent["HostConfig"]["NetworkMode"], gateway["HostConfig"]["NetworkMode"]) == ("none", "host")
    mounted = [{mount.get("Name") or mount["Source"] for mount in seen["Mounts"]} for seen in (agent, gateway)]
    assert set.intersection(*mounted) == {gateway_name(made.id)}
    assert all(
        seen["HostConfig"][kind] in {"", "private"} for seen in (agent, gateway) for kind in ("IpcMode", "PidMode")
    )
    (mount,) = [mount for mount in agent["Mounts"] if mount["Destination"] == profile.GATEWAY_MOUNT]
    assert (mount["Type"], mount["Name"], mount["RW"]) == ("volume", gateway_name(made.id), False)
    folder = pipeline.settings.home.attempts / made.id
    log = (folder / "agent.log").read_text(encoding="utf-8")
    assert "gateway.sock" in log
    assert KEY not in log
    (kept,) = (folder / "gateway").glob("calls-*.jsonl")
    assert len(kept.read_text("utf-8").splitlines()) >= len(rows)
    assert KEY not in kept.read_text("utf-8")
    assert left_of(client, made.id) == []
    with pipeline.ledger.read() as tx:
        trail = audit_page(tx, subject=made.id)
    of_gateway = [entry.action for entry in reversed(trail) if entry.detail.get("purpose") == "gateway"]
    assert of_gateway == ["container.started", "container.stopped"]


def test_the_cap_is_enforced_in_the_container(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Callable[..., Attempt]
) -> None:
    look = Call("bash", {"command": "ls", "description": "look"})
    with ModelServer([Turn(calls=(look,), prompt_tokens=30_000)] * 20) as model:
        made = attempt(model, "[budgets.attempt]\ntokens = 100000\n")
        pipeline.agent_run(made, fails=True)
    ended = pipeline.read_attempt(made.id)
    assert ended.cause == Cause.BUDGET_EXHAUSTED
    assert "100000 tokens" in (ended.message or "")
    assert 2 <= len(model.main_requests) <= 4
    assert left_of(client, made.id) == []


def test_what_a_killed_supervisor_leaves_is_counted_and_removed_by_a_recovery(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Callable[..., Attempt]
) -> None:
    turns = [Turn(calls=(EDIT,), prompt_tokens=50, completion_tokens=7), Turn(text="Done.")]
    with ModelServer(turns, delay_s=4) as model:
        made = attempt(model)
        # The second is under way for four seconds.
        pipeline.kill_agent_run(made, lambda: len(model.main_requests) >= 2, expired_s=3600)
        assert gateway_name(made.id) in left_of(client, made.id)
        before = calls(pipeline.ledger, made.id)
        pipeline.tick(recovery)
    assert pipeline.read_attempt(made.id).cause == Cause.LOST
    after = calls(pipeline.ledger, made.id)
    assert len(after) > len(before), "the call under way is known by the container's call log alone"
    assert (50, 7, None) in [tuple(row) for row in after]
    (cut,) = [row for row in after if row.error is not None]
    assert cut.error in {"interrupted", "shutdown", "client_gone"}
    assert cut.input_tokens > 0
    assert left_of(client, made.id) == []


def test_an_agent_that_outlives_its_supervisor_goes_on_with_a_gateway_of_the_next_one(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Callable[..., Attempt]
) -> None:
    turns = [Turn(calls=(EDIT,)), Turn(calls=(EDIT,)), Turn(text="Done.")]
    with ModelServer(turns, delay_s=2) as model:
        made = attempt(model)
        # The first is under way for two seconds: its connection breaks, and the agent asks again.
        pipeline.kill_agent_run(made, lambda: len(model.main_requests) >= 1)
        (request,) = pipeline.sensor(reaper).run_requests
        pipeline.request(request)
    ended = pipeline.read_attempt(made.id)
    assert (ended.cause, ended.number) == (Cause.COMPLETED, 1), ended.message
    assert ended.evidence is not None
    assert ended.evidence.facts["adopted"] is True
    assert left_of(client, made.id) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"image": "squire-none:none"}, ImageMissingError),
        ({"image": "squire-worker:latest"}, NotReachableError),
        ({"network": "squire-no-such-network"}, EngineError),
    ],
)
def test_a_container_that_cannot_start_is_named_and_leaves_nothing(
    client: docker.DockerClient, image: str, tmp_path: Path, wrong: dict[str, str], error: type[SquireError]
) -> None:
    attempt_id = f"test-{uuid4().hex[:12]}-1"
    with pytest.raises(error) as caught, in_container(client, attempt_id, tmp_path, **({"image": image} | wrong)):
        pytest.fail("it serves")
    assert caught.value.hint
    assert KEY not in str(caught.value)
    assert left_of(client, attempt_id) == []


def test_another_supervisor_takes_the_place_over_and_the_first_log_is_kept(
    client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    attempt_id = f"test-{uuid4().hex[:12]}-1"
    first = in_container(client, attempt_id, tmp_path, image=image).__enter__()
    assert first.status.totals.tokens == 0
    assert bring_log(client, attempt_id, tmp_path)
    assert len(list(tmp_path.glob("calls-*.jsonl"))) == 1
    assert bring_log(client, attempt_id, tmp_path), "it may be brought again"
    with in_container(client, attempt_id, tmp_path, image=image):
        # The attempt is the second's: the first one leaves it what is its own.
        first.__exit__(None, LeaseLostError("another's"), None)
        assert len(left_of(client, attempt_id)) == 2
    assert left_of(client, attempt_id) == []
    assert len(list(tmp_path.glob("calls-*.jsonl"))) == 2
    assert list_volumes(client) == tuple(name for name in list_volumes(client) if name != attempt_id)
