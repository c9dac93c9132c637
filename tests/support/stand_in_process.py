"""A pod of a stand-in cluster whose containers are real processes: the worker's entrypoint, with folders of a test."""

import base64
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.support.stand_in_cluster import PodLogFile, StandInCluster, now
from tests.support.stand_in_pods import agent_state, init_state, terminated, wait_for_secret
from tests.support.worker import ENTRYPOINT

_LONGEST_S = 60


class ProcessPlan:
    """Runs the containers one after the other, each with the variables of its manifest.

    Args:
        folder: Where `in`, `out`, `work`, `home` and `tmp` are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, cluster: StandInCluster, name: str) -> None:
        """Live a pod's life."""
        if not wait_for_secret(cluster, name):
            cluster.remove_pod(name)
            return
        pod = cluster.get("pods", name)
        if pod is None:
            return
        for part in ("in", "out", "work", "home", "tmp"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        token = self._folder / "token"
        token.write_text(self._token(cluster, pod), encoding="utf-8")
        cluster.set_pod(name, phase="Pending", initContainerStatuses=init_state(None))
        with self._start(pod["spec"]["initContainers"][0], token) as fetcher:
            fetcher.communicate(timeout=_LONGEST_S)
        code = fetcher.returncode
        cluster.set_pod(name, initContainerStatuses=init_state(code))
        if code:
            cluster.set_pod(name, phase="Failed")
            return
        with cluster.lock:
            cluster.logs[name] = PodLogFile()
        cluster.set_pod(name, phase="Running", containerStatuses=agent_state(running={"startedAt": now()}))
        with self._start(pod["spec"]["containers"][0], token) as agent:
            self._run_agent(cluster, name, agent)

    def _token(self, cluster: StandInCluster, pod: dict[str, Any]) -> str:
        volume = next(volume for volume in pod["spec"]["volumes"] if "secret" in volume)
        secret = cluster.get("secrets", volume["secret"]["secretName"]) or {}
        data = {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
        return str((data | secret.get("stringData", {}))["token"])

    def _start(self, container: dict[str, Any], token: Path) -> subprocess.Popen[str]:
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        variables |= {f"SQUIRE_{part.upper()}": str(self._folder / part) for part in ("in", "out", "work")}
        variables |= {
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "SQUIRE_DOOR_TOKEN_FILE": str(token),
        }
        return subprocess.Popen(
            [sys.executable, "-I", "-u", str(ENTRYPOINT), *container["args"]],
            env=variables,
            cwd=self._folder / "work",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _run_agent(self, cluster: StandInCluster, name: str, process: subprocess.Popen[str]) -> None:
        over = threading.Event()

        def end_when_asked() -> None:
            while not over.wait(0.05):
                if cluster.is_deleted(name):
                    process.terminate()
                    return

        threading.Thread(target=end_when_asked, daemon=True).start()
        assert process.stdout is not None
        for line in process.stdout:
            cluster.write_log(name, line.rstrip("\n"))
        code = process.wait(_LONGEST_S)
        over.set()
        with cluster.lock:
            cluster.logs[name].is_over = True
        phase, reason = ("Failed", "Error") if code else ("Succeeded", "Completed")
        cluster.set_pod(name, phase=phase, containerStatuses=agent_state(terminated=terminated(code, reason)))
        if cluster.is_deleted(name):
            cluster.remove_pod(name)
