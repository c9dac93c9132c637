"""The worker image as the supervisor runs it: hardened, without a network, as any uid."""

from collections.abc import Callable
from typing import Any

import docker
import pytest

from tests.support.worker import Desk

pytestmark = pytest.mark.docker

DeskFor = Callable[..., Desk]
SIZE_BUDGET_BYTES = 450_000_000


@pytest.mark.parametrize("uid", [10001, 54321])
def test_a_command_agent_works_as_any_user(desk_for: DeskFor, sandbox: Any, uid: int) -> None:
    desk = desk_for(["ruff", "check", "--fix", "--quiet", "app.py"])
    ended = sandbox.attempt(desk, uid=uid)
    result = desk.result()
    assert (ended.code, result["status"], result["agent_exit_code"]) == (0, "changed", 0), ended
    assert desk.log() == ["squire-bot: Do the task"]
    assert (desk.out / "result.json").stat().st_uid == uid


def test_the_repositorys_files_are_fixed_by_the_linter(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["sh", "-c", "ruff check --fix --quiet . && cat app.py && id -u && touch /etc/x"])
    ended = sandbox.attempt(desk)
    assert ended.stdout.split() == ["print('hello')", "10001"]
    assert "Read-only file system" in ended.stderr
    assert ended.code == desk.result()["agent_exit_code"] == 1


def test_there_is_no_way_out_but_the_loopback(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["python3", "-c", "import socket; print(sorted(n for _, n in socket.if_nameindex()))"])
    assert sandbox.attempt(desk).stdout == "['lo']\n"


def test_a_missing_agent_is_127_with_its_name(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["no-such-agent"])
    assert sandbox.attempt(desk).code == 127
    assert desk.result()["error"]["code"] == "agent_not_found"


def test_stopping_the_container_is_143_and_says_so(desk_for: DeskFor, sandbox: Any) -> None:
    desk = desk_for(["sh", "-c", "echo ready; sleep 60"])
    container = sandbox.start(**sandbox.mounts(desk))
    lines = container.logs(stream=True, follow=True, stderr=False)
    assert next(lines) == b"ready\n"
    container.stop(timeout=20)
    assert list(lines) == []
    assert container.wait(timeout=20)["StatusCode"] == 143
    assert desk.result()["error"]["code"] == "terminated"
    assert not desk.has_bundle


def test_the_image_is_small_and_says_what_it_is(engine: docker.DockerClient, worker_image: str) -> None:
    image = engine.images.get(worker_image)
    size = image.attrs["Size"]
    print(f"squire-worker: {size / 1e6:.0f} MB")  # noqa: T201 - a figure for the reader
    assert size < SIZE_BUDGET_BYTES
    assert image.attrs["Config"]["User"] == "10001:10001"
    assert image.labels["org.opencontainers.image.title"] == "squire-worker"


def test_no_program_in_the_image_can_raise_privileges(sandbox: Any) -> None:
    find = ["find", "/", "-xdev", "-type", "f", "-perm", "/6000"]
    ended = sandbox.run(entrypoint=find, command=[])
    assert ended.stdout.split() == []
