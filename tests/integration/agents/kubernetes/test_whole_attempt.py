"""A whole attempt by a Job: the door, the worker's real entrypoint and git, on a stand-in cluster."""

import threading
from pathlib import Path

import pytest

from squire_pipelines.agents.door_router import DoorRouter
from squire_pipelines.agents.kubernetes.api import connect
from squire_pipelines.agents.kubernetes.options import ClusterOptions
from squire_pipelines.agents.kubernetes.runner import KubernetesRunner
from squire_pipelines.agents.model import RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.attempts import make_origin, small_limits
from tests.support.memory_doors import MemoryDoors
from tests.support.stand_in_cluster import StandInCluster
from tests.support.stand_in_process import ProcessPlan


class Attempt:
    """An attempt at a repository of its own, on a cluster whose pods are processes."""

    def __init__(self, tmp_path: Path, *command: str) -> None:
        self.origin = make_origin(tmp_path)
        self.inputs = self.origin.prepared(tmp_path, command=command, limits=small_limits(grace_s=2))
        self._folder = tmp_path
        self._cluster = StandInCluster(ProcessPlan(tmp_path / "pod"))
        self.began = threading.Event()

    def beat(self) -> bool:
        """Ask to cancel once the agent has written its line."""
        if self.inputs.folder.log.exists() and "ready to be stopped" in self.inputs.folder.log.read_text("utf-8"):
            self.began.set()
        return not self.began.is_set()

    def run(self, *, cancel: bool = False) -> RunResult:
        doors = MemoryDoors()
        with self._cluster as cluster, DoorRouter(doors.find, port=0) as router:
            settings = KubernetesSettings(
                kubeconfig=cluster.kubeconfig(self._folder / "config"), timeout_s=5, door=f"127.0.0.1:{router.port}"
            )
            runner = KubernetesRunner(connect(settings), ClusterOptions(settings, doors))
            try:
                return runner.run(self.inputs, heartbeat=self.beat if cancel else lambda: True)
            finally:
                runner.close()


@pytest.mark.slow
def test_an_agents_commit_comes_out_by_the_door(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, "sh", "-c", "echo made > made.txt")
    result = attempt.run()
    assert result.ending.cause is Cause.COMPLETED, result.ending
    assert result.bundle is not None
    assert attempt.origin.file_after(result.bundle, attempt.inputs.branch, "made.txt") == "made"


@pytest.mark.slow
def test_what_a_stopped_agent_had_made_comes_out_too(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, "sh", "-c", "echo half > half.txt; echo ready to be stopped; exec sleep 60")
    result = attempt.run(cancel=True)
    assert result.ending.cause is Cause.CANCELLED
    assert result.bundle is not None
    assert attempt.origin.file_after(result.bundle, attempt.inputs.branch, "half.txt") == "half"
