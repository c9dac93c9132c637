"""A program that fills HOME, in a real container: the kernel bounds it, and the ending names the limit."""

from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.protocol import AgentConfig
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.domain.endings import Cause
from tests.support.attempts import MIB, Origin, go_on, small_limits

pytestmark = pytest.mark.docker


def test_300_megabytes_in_home_end_at_its_limit_which_the_message_names(
    runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str
) -> None:
    script = "head -c 300000000 /dev/zero > ~/cache || exit 1"
    order = AgentConfig(("sh", "-c", script), "m", protocol="anthropic")
    limits = small_limits(memory=512 * MIB, home=32 * MIB)
    inputs = origin.prepared(tmp_path, agent=find("claude-code"), order=order, attempt_id=attempt_id, limits=limits)
    ending = runner.run(inputs, heartbeat=go_on).ending
    assert ending.cause is Cause.AGENT_ERROR, ending
    assert "it says that a disk is full: raise the one of agent.limits that it fills (home 34 MB" in ending.message
