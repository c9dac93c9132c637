"""What an attempt that attacks everything of its host at once costs, with the processor's time: `make soak`."""

import uuid
from pathlib import Path

import pytest

from squire_pipelines.agents import engine
from squire_pipelines.domain.endings import Cause
from tests.support.attempts import MIB, make_origin
from tests.support.overload import attack

MAX_PROCESSOR_S = 5.0


@pytest.mark.soak
@pytest.mark.docker
def test_attack_on_everything_at_once_costs_little_of_disk_and_processor(tmp_path: Path) -> None:
    name = f"soak-{uuid.uuid4().hex[:8]}-1"
    client = engine.connect(60)
    try:
        taken = attack(client, make_origin(tmp_path), tmp_path, (name, f"{name}0"))
    finally:
        client.close()
    print(taken)  # noqa: T201 - the figures
    assert taken.host_bytes < 200 * MIB
    assert taken.processor_s < MAX_PROCESSOR_S
    assert taken.honest.ending.cause is Cause.COMPLETED
