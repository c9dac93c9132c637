"""What the pods of a stand-in cluster do: plans by steps, which a test puts together."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.stand_in_cluster import PodLogFile, StandInCluster, now

NODE = "node-1"


def init_state(exit_code: int | None) -> list[dict[str, Any]]:
    """Return the status of the container that fetches the inputs: running, or ended with a code."""
    state: dict[str, Any] = {"running": {"startedAt": now()}}
    if exit_code is not None:
        reason = "Completed" if exit_code == 0 else "Error"
        state = {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": now(), "finishedAt": now()}}
    return [{"name": "inputs", "image": "w", "imageID": "sha256:w", "state": state}]


def agent_state(**state: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "agent", "image": "w", "imageID": "sha256:w", "state": state}]


def terminated(exit_code: int, reason: str) -> dict[str, Any]:
    return {"exitCode": exit_code, "reason": reason, "startedAt": now(), "finishedAt": now()}


def wait_for_secret(cluster: StandInCluster, name: str) -> bool:
    """Wait for the Secret that a pod mounts, as its node does; return False when the pod is deleted before."""
    pod = cluster.get("pods", name)
    volumes = pod["spec"]["volumes"] if pod is not None else []
    secrets = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]

    def is_settled() -> bool:
        return cluster.is_deleted(name) or all(cluster.get("secrets", secret) for secret in secrets)

    return cluster.wait_for(is_settled) and not cluster.is_deleted(name)


@dataclass
class PodPlan:
    """A pod that fetches its inputs, runs, writes lines, and ends when a test says so or at once.

    Args:
        lines: What its log has.
        exit_code: Of the agent.
        reason: Of the agent's end, as the API has it.
        fetch_code: Of the container before it; a failure ends the pod.
        pod_status: More fields of the status at the end, such as conditions.
        waiting: Fields of the status before it begins; it then does not begin until `go`.
        on_run: Is called with the pod's manifest while the agent runs, such as to hand a result out.
        go: It begins when this is set.
        end: It ends when this is set.
        stopped_code: The exit code after SIGTERM.
    """

    lines: Sequence[str] = ("squire: agent started",)
    exit_code: int = 0
    reason: str = "Completed"
    fetch_code: int = 0
    pod_status: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    on_run: Callable[[dict[str, Any]], object] | None = None
    go: threading.Event = field(default_factory=threading.Event)
    end: threading.Event = field(default_factory=threading.Event)
    stopped_code: int = 143
    stays_when_asked: bool = False

    def __call__(self, cluster: StandInCluster, name: str) -> None:
        """Live a pod's life."""
        if self.waiting:
            cluster.set_pod(name, **self.waiting)
            while not self.go.wait(0.05):
                if cluster.is_deleted(name):
                    cluster.remove_pod(name)
                    return
        if not wait_for_secret(cluster, name):
            cluster.remove_pod(name)
            return
        cluster.set_pod(name, phase="Pending", initContainerStatuses=init_state(None))
        cluster.set_pod(name, initContainerStatuses=init_state(self.fetch_code))
        if self.fetch_code:
            waiting = agent_state(waiting={"reason": "PodInitializing"})
            cluster.set_pod(name, phase="Failed", containerStatuses=waiting)
            return
        with cluster.lock:
            cluster.logs[name] = PodLogFile()
        cluster.set_pod(name, phase="Running", containerStatuses=agent_state(running={"startedAt": now()}))
        cluster.write_log(name, *self.lines)
        pod = cluster.get("pods", name)
        if self.on_run is not None and pod is not None:
            self.on_run(pod)
        while not self.end.wait(0.02):
            if cluster.is_deleted(name) and not self.stays_when_asked:
                self._finish(cluster, name, self.stopped_code, "Error")
                return
            if self.stays_when_asked and self._is_killed(cluster, name):
                self._finish(cluster, name, 137, "Error")
                return
        self._finish(cluster, name, self.exit_code, self.reason)

    def _is_killed(self, cluster: StandInCluster, name: str) -> bool:
        pod = cluster.get("pods", name)
        return pod is None or pod["metadata"].get("deletionGracePeriodSeconds") == 1

    def _finish(self, cluster: StandInCluster, name: str, code: int, reason: str) -> None:
        was_deleted = cluster.is_deleted(name)
        with cluster.lock:
            cluster.logs[name].is_over = True
        ended = agent_state(terminated=terminated(code, reason))
        phase = "Failed" if code else "Succeeded"
        cluster.set_pod(name, **({"phase": phase, "containerStatuses": ended} | self.pod_status))
        if was_deleted or cluster.is_deleted(name):
            cluster.remove_pod(name)
