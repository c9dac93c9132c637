"""While a repository is debugged, a container is kept whose attempt ended well, and it goes with the end of that."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import docker
import pytest

from squire_pipelines.agents import engine, profile, reap
from squire_pipelines.domain.debugging import DebugWindow
from squire_pipelines.domain.endings import Cause
from squire_pipelines.execution.recovery import count_leftovers, remove_leftovers
from squire_pipelines.observability.debugging import write_windows
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = pytest.mark.docker
LOG = logging.getLogger("test")


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    connected = engine.connect(60)
    yield connected
    connected.close()


def test_a_debugged_attempts_container_is_kept_until_debugging_ends(
    pipeline: Pipeline, client: docker.DockerClient
) -> None:
    pipeline.commands = {LEDGERLIB: ("sh", "-c", "echo >> NOTES.md")}
    pipeline.configure("\n[agent.limits]\ncpus = 1\n", runner="docker")
    now = datetime.now(UTC)
    debug_file = pipeline.settings.home.debug_file
    write_windows(debug_file, (DebugWindow(LEDGERLIB, now, now + timedelta(hours=1), "ann"),))
    attempt = pipeline.attempt()
    name = profile.container_name(attempt.id)
    try:
        pipeline.agent_run(attempt)
        assert pipeline.read_attempt(attempt.id).cause == Cause.COMPLETED
        container = reap.find(client, name)
        assert container is not None
        assert container.keep_until == now + timedelta(hours=1)
        assert count_leftovers(pipeline.ledger, pipeline.settings, [client], LOG) == 0
        write_windows(debug_file, ())
        assert remove_leftovers(pipeline.ledger, pipeline.settings, [client], LOG) == 1
        assert reap.find(client, name) is None
    finally:
        reap.remove(client, name)
