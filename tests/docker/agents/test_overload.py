"""An attempt that attacks everything of its host at once costs the host little, and its neighbour nothing."""

from pathlib import Path

import docker
import pytest

from squire_pipelines.domain.endings import Cause
from tests.support.attempts import MIB, Origin
from tests.support.overload import attack

pytestmark = pytest.mark.docker


def test_attack_on_everything_at_once_leaves_the_host_and_the_neighbour_alone(
    client: docker.DockerClient, origin: Origin, tmp_path: Path, attempt_id: str
) -> None:
    taken = attack(client, origin, tmp_path, (attempt_id, f"{attempt_id}0"))
    assert taken.attacker.ending.cause in {Cause.OUT_OF_MEMORY, Cause.TIMEOUT, Cause.LOG_OVERFLOW, Cause.DISK_FULL}
    assert taken.host_bytes < 200 * MIB
    assert taken.honest.ending.cause is Cause.COMPLETED
