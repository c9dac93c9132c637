"""A real container on a network of the engine's, which has nothing of the host's but a token, and its door."""

import dataclasses
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.types import Mount

from squire_pipelines.agents import profile, worker_files
from squire_pipelines.agents.attempt_files import BUNDLE_FILE, read_result
from squire_pipelines.agents.door import TOKEN_FILE, DoorServer, door_environment
from squire_pipelines.agents.door_router import DoorRouter
from squire_pipelines.agents.door_wire import DoorToken, new_token
from squire_pipelines.agents.model import AttemptInputs, ResultStatus
from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from tests.support.attempts import Origin
from tests.support.doors import QUICK, QUICK_ROUTER, echoing_gateway

pytestmark = [pytest.mark.docker, pytest.mark.slow]
SCRIPT = (
    "python3 -c \"import socket; c = socket.create_connection(('127.0.0.1', 8787), 30); c.sendall(b'hello'); "
    'print(c.recv(5).decode())" && test -z "$(ls -A /run/squire)" && echo work > new.txt'
)


@pytest.fixture
def volume(client: docker.DockerClient, attempt_id: str) -> Iterator[str]:
    """What an init container and the agent's share, as a pod's empty folder."""
    made = client.volumes.create(f"squire-{attempt_id}-in")
    yield str(made.name)
    for container in client.containers.list(all=True, filters={"name": f"squire-{attempt_id}"}):
        container.remove(force=True)
    made.remove(force=True)


def run(
    client: docker.DockerClient,
    inputs: AttemptInputs,
    door: DoorAddress,
    token_file: Path,
    mount: Mount,
    *,
    mode: tuple[str, ...] = (),
) -> tuple[int, str]:
    """Run a container of the attempt's to its end; return its exit code and what it wrote."""
    arguments: dict[str, Any] = profile.hardening(
        inputs.limits, user=(profile.WORKER_UID, profile.WORKER_UID), seccomp=worker_files.seccomp_profile()
    )
    environment = {"HOME": profile.HOME} | profile.environment(inputs, None) | door_environment(inputs, str(door))
    container = client.containers.run(
        inputs.image,
        command=list(mode),
        name=f"{profile.container_name(inputs.unit)}{''.join(f'-{word}' for word in mode)}",
        detach=True,
        environment=environment,
        mounts=[mount, Mount(TOKEN_FILE, str(token_file), type="bind", read_only=True)],
        **arguments | {"network_mode": "bridge"},
    )
    try:
        code = int(container.wait(timeout=120)["StatusCode"])
        return code, container.logs().decode()
    finally:
        container.remove(force=True)


@pytest.fixture
def inputs(origin: Origin, tmp_path: Path, attempt_id: str) -> AttemptInputs:
    return origin.prepared(tmp_path, command=("sh", "-c", SCRIPT), attempt_id=attempt_id)


def test_a_container_without_mounts_does_its_work_through_the_door(
    client: docker.DockerClient, inputs: AttemptInputs, tmp_path: Path, short_path: Path, volume: str
) -> None:
    if "squire.worker.door" not in client.images.get(inputs.image).labels:
        pytest.skip("the worker's image is older than its folder: run scripts/images.sh worker")
    # This machine's address on the engine's own network.
    (network,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    host = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])
    token: DoorToken = new_token()
    token_file = tmp_path / "token"
    token_file.write_text(token.text)
    token_file.chmod(0o444)
    # An empty volume gets the mode of the image's folder whenever it is mounted, and the agent's user is to write here.
    client.containers.run(
        inputs.image,
        entrypoint=["sh", "-c", "touch /in/.used && chmod 1777 /in"],
        user="0:0",
        network_mode="none",
        remove=True,
        mounts=[Mount("/in", volume, type="volume")],
    )
    with (
        echoing_gateway(short_path / "g.sock") as gateway,
        DoorServer(inputs, token.sha256, gateway_socket=gateway, limits=QUICK) as door,
    ):

        def find(unit: str) -> RegisteredDoor | None:
            return RegisteredDoor(unit, door.address, token.sha256) if unit == inputs.unit else None

        with DoorRouter(find, port=0, limits=QUICK_ROUTER) as router:
            address = DoorAddress(host, router.port)
            shared = Mount("/in", volume, type="volume")
            code, log = run(client, inputs, address, token_file, shared, mode=("fetch",))
            assert code == 0, log
            only_read = Mount("/in", volume, type="volume", read_only=True)
            code, log = run(client, inputs, address, token_file, only_read)
    assert code == 0, log
    assert "HELLO" in log
    assert token.text not in log
    assert door.result_taken.is_set()
    result = read_result(inputs.folder.out)
    assert (result.status, result.uncommitted_committed) == (ResultStatus.CHANGED, True)
    assert (inputs.folder.out / BUNDLE_FILE).stat().st_size > 0
    assert dataclasses.asdict(door.counts)["refused"] == 0
