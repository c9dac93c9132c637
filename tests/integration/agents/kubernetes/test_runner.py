"""The runner on a stand-in cluster: from the Job to its removal, with what clusters do to pods in between."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.kubernetes.api import connect
from squire_pipelines.agents.kubernetes.options import ClusterOptions
from squire_pipelines.agents.kubernetes.runner import KubernetesRunner
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import LeaseLostError
from squire_pipelines.sections.kubernetes import KubernetesSettings
from tests.support.attempts import make_inputs, small_limits
from tests.support.memory_doors import MemoryDoors
from tests.support.stand_in_cluster import StandInCluster
from tests.support.stand_in_pods import PodPlan

NO_CHANGES = '{"schema": 1, "status": "no_changes", "agent_exit_code": 0}'


class Bench:
    """An attempt, a stand-in cluster with a plan for its pod, and runs of the attempt."""

    def __init__(self, tmp_path: Path, plan: PodPlan) -> None:
        self.plan = plan
        self.cluster = StandInCluster(plan)
        self.doors = MemoryDoors()
        self.config = self.cluster.kubeconfig(tmp_path / "kubeconfig")
        self.inputs: AttemptInputs = make_inputs(tmp_path, command=("true",), limits=small_limits(grace_s=1))
        self.job = names.job_name(self.inputs.unit)
        for folder in (self.inputs.folder.inbox, self.inputs.folder.out, self.inputs.folder.keep):
            folder.mkdir(parents=True)
        (self.inputs.folder.inbox / "task.json").write_text("{}", encoding="utf-8")

    def hand_out(self, _pod: dict[str, Any]) -> None:
        """Leave a result, as the door does when the pod hands it out, and end."""
        (self.inputs.folder.out / "result.json").write_text(NO_CHANGES, encoding="utf-8")
        self.plan.end.set()

    def run(
        self,
        *,
        heartbeat: Callable[[], bool] = lambda: True,
        patience_s: float = 20,
        pending_patience_s: float = 20,
    ) -> RunResult:
        settings = KubernetesSettings(
            kubeconfig=self.config, timeout_s=5, door="127.0.0.1:9", pending_patience_s=pending_patience_s
        )
        runner = KubernetesRunner(connect(settings), ClusterOptions(settings, self.doors, patience_s=patience_s))
        try:
            return runner.run(self.inputs, heartbeat=heartbeat)
        finally:
            runner.close()

    @property
    def log(self) -> str:
        return self.inputs.folder.log.read_text(encoding="utf-8")


def bench_of(tmp_path: Path, **plan: Any) -> Bench:
    return Bench(tmp_path, PodPlan(**plan))


def test_an_attempt_runs_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, lines=("squire: agent started", "one", "two"))
    bench.plan.on_run = bench.hand_out
    with bench.cluster as cluster:
        result = bench.run()
        assert result.ending.cause is Cause.NO_CHANGES
        assert bench.log.splitlines() == ["squire: agent started", "one", "two"]
        assert cluster.names("jobs") == cluster.names("pods") == cluster.names("secrets") == []
    assert bench.doors.removed == [bench.inputs.unit]
    assert result.image_digest == "sha256:w"
    assert {"create_s", "start_s", "total_s"} <= set(result.timings)


def test_the_job_is_made_before_its_secret_which_belongs_to_it(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    seen: list[dict[str, Any]] = []

    def look(pod: dict[str, Any]) -> None:
        secret = bench.cluster.get("secrets", bench.job)
        seen.extend(filter(None, [secret, bench.cluster.get("jobs", bench.job)]))
        bench.hand_out(pod)

    bench.plan.on_run = look
    with bench.cluster as cluster:
        bench.run()
        made = [path.rsplit("/", 1)[-1] for method, path in cluster.requests if method == "POST"]
    assert made == ["jobs", "secrets"]
    secret, job = seen
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert secret["stringData"]["token"] not in str(job)


@pytest.mark.parametrize(
    ("exit_code", "reason", "cause"),
    [
        (137, "OOMKilled", Cause.OUT_OF_MEMORY),
        (137, "Error", Cause.KILLED),
        (3, "Error", Cause.AGENT_ERROR),
    ],
)
def test_an_end_is_told_by_code_and_reason(tmp_path: Path, exit_code: int, reason: str, cause: Cause) -> None:
    bench = bench_of(tmp_path, exit_code=exit_code, reason=reason)
    bench.plan.end.set()
    with bench.cluster:
        ending = bench.run().ending
    assert ending.cause is cause
    assert ending.evidence.exit_code == exit_code


def test_a_child_that_ran_out_of_memory_is_a_fact_and_no_cause(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, exit_code=3, reason="OOMKilled")
    bench.plan.end.set()
    with bench.cluster:
        ending = bench.run().ending
    assert ending.cause is Cause.AGENT_ERROR
    assert ending.evidence.facts["child_oom_killed"] is True


def test_a_pod_that_is_drained_is_nobodys_fault(tmp_path: Path) -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drain"}
    bench = bench_of(tmp_path, exit_code=143, reason="Error", pod_status={"conditions": [condition]})
    bench.plan.end.set()
    with bench.cluster:
        ending = bench.run().ending
    assert (ending.cause, ending.evidence.error_code) == (Cause.ENGINE_LOST, "drained")


def test_a_pod_that_somebody_deleted_is_named(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)

    def beat() -> bool:
        if bench.inputs.folder.started.exists():
            bench.cluster.remove_pod(bench.cluster.names("pods")[0])
        return True

    with bench.cluster:
        ending = bench.run(heartbeat=beat).ending
    assert (ending.cause, ending.evidence.error_code) == (Cause.KILLED, "pod_removed")
    assert "the agent's pod was deleted" in ending.message


def test_a_job_that_the_cluster_ended_at_its_deadline_is_told_apart(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)

    def beat() -> bool:
        if bench.inputs.folder.started.exists():
            bench.cluster.fail_job(bench.job, "DeadlineExceeded", "Job was active longer than specified deadline")
            for pod in bench.cluster.names("pods"):
                bench.cluster.remove_pod(pod)
        return True

    with bench.cluster:
        ending = bench.run(heartbeat=beat).ending
    assert (ending.cause, ending.evidence.error_code) == (Cause.TIMEOUT, "job_deadline")


def test_a_cancelled_agent_gets_sigterm_and_its_job_no_other_pod(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    began = threading.Event()
    bench.plan.on_run = lambda _pod: began.set()
    with bench.cluster as cluster:
        ending = bench.run(heartbeat=lambda: not began.is_set()).ending
        deletes = [path for method, path in cluster.requests if method == "DELETE"]
    assert ending.cause is Cause.CANCELLED
    assert "/jobs/" in deletes[0]
    assert not [path for path in deletes if "/pods/" in path]


def test_one_that_stays_is_killed_by_a_grace_of_a_second(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, stays_when_asked=True)
    began = threading.Event()
    bench.plan.on_run = lambda _pod: began.set()
    with bench.cluster as cluster:
        ending = bench.run(heartbeat=lambda: not began.is_set()).ending
        assert [path for method, path in cluster.requests if method == "DELETE" and "/pods/" in path]
    assert ending.cause is Cause.CANCELLED


def test_an_attempt_that_is_anothers_leaves_its_job_to_that_one(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    began = threading.Event()
    bench.plan.on_run = lambda _pod: began.set()

    def lose() -> bool:
        if began.is_set():
            raise LeaseLostError("another has it")
        return True

    with bench.cluster as cluster:
        with pytest.raises(LeaseLostError):
            bench.run(heartbeat=lose)
        assert cluster.names("jobs") == [bench.job]
        assert bench.doors.removed == []
        cluster.write_log(cluster.names("pods")[0], "said meanwhile")
        bench.hand_out({})
        result = bench.run()
        assert result.ending.cause is Cause.NO_CHANGES
        assert result.ending.evidence.facts["adopted"] is True
        assert bench.log.splitlines() == ["squire: agent started", "said meanwhile"]
        made = [path.rsplit("/", 1)[-1] for method, path in cluster.requests if method == "POST"]
    assert made == ["jobs", "secrets"]


def test_an_agent_that_ended_while_nobody_watched_is_not_begun_again(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)

    def lose() -> bool:
        if bench.inputs.folder.started.exists():
            raise LeaseLostError("another has it")
        return True

    with bench.cluster as cluster:
        with pytest.raises(LeaseLostError):
            bench.run(heartbeat=lose)
        cluster.remove_pod(cluster.names("pods")[0])
        ending = bench.run().ending
        made = [path.rsplit("/", 1)[-1] for method, path in cluster.requests if method == "POST"]
        assert cluster.names("jobs") == []
    assert (ending.cause, made) == (Cause.ENGINE_LOST, ["jobs", "secrets"])
    assert "nobody watched" in ending.message


def test_a_job_whose_token_is_void_is_made_anew(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    began = threading.Event()
    bench.plan.on_run = lambda _pod: began.set()

    def lose() -> bool:
        if began.is_set():
            raise LeaseLostError("another has it")
        return True

    with bench.cluster as cluster:
        with pytest.raises(LeaseLostError):
            bench.run(heartbeat=lose)
        bench.doors.tokens.clear()
        bench.plan.on_run = bench.hand_out
        result = bench.run()
        made = [path.rsplit("/", 1)[-1] for method, path in cluster.requests if method == "POST"]
    assert result.ending.cause is Cause.NO_CHANGES
    assert made == ["jobs", "secrets", "jobs", "secrets"]


def test_a_name_that_is_another_attempts_is_left_alone(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    with bench.cluster as cluster:
        metadata = {"name": bench.job, "annotations": {"squire/attempt": "t9-1"}}
        cluster.put("jobs", {"metadata": metadata | {"uid": "u"}, "spec": {}, "status": {}}, event="ADDED")
        ending = bench.run().ending
        assert cluster.names("jobs") == [bench.job]
    assert ending.cause is Cause.ENGINE_LOST
    assert "is taken by a Job" in ending.message


def test_a_pod_without_a_node_waits_with_its_reason_and_for_so_long(tmp_path: Path) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available",
    }
    bench = bench_of(tmp_path, waiting={"phase": "Pending", "conditions": [condition]})
    with bench.cluster as cluster:
        ending = bench.run(pending_patience_s=0.5).ending
        assert cluster.names("jobs") == []
    assert (ending.cause, ending.evidence.error_code) == (Cause.ENGINE_LOST, "unschedulable")
    assert "squire: the pod waits: no node takes the agent's pod: 0/3 nodes are available" in bench.log


def test_a_policy_that_refuses_the_pod_ends_the_attempt_for_good(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    bench.cluster.quota = 'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsUser'
    with bench.cluster:
        ending = bench.run(pending_patience_s=0.5).ending
    assert ending.cause is Cause.NOT_STARTABLE
    assert "violates PodSecurity" in ending.message


def test_a_quota_without_room_is_tried_again(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    bench.cluster.quota = 'Error creating: pods "x" is forbidden: exceeded quota: agents'
    with bench.cluster:
        ending = bench.run(pending_patience_s=0.5).ending
    assert (ending.cause, ending.evidence.error_code) == (Cause.ENGINE_LOST, "quota")
    assert ending.transient


def test_a_refused_job_names_the_right(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    bench.cluster.refusals["POST", "jobs"] = (403, 'jobs.batch is forbidden: User "u" cannot create resource "jobs"')
    with bench.cluster:
        ending = bench.run().ending
    assert (ending.cause, ending.evidence.error_code) == (Cause.NOT_STARTABLE, "cluster_refused")
    assert "squire doctor" in ending.message


@pytest.mark.parametrize(("code", "cause"), [(123, Cause.ENGINE_LOST), (120, Cause.WORKSPACE_ERROR)])
def test_inputs_that_did_not_come_are_named(tmp_path: Path, code: int, cause: Cause) -> None:
    bench = bench_of(tmp_path, fetch_code=code)
    with bench.cluster:
        assert bench.run().ending.cause is cause


def test_a_server_that_is_away_meanwhile_costs_nothing(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, lines=("squire: agent started",))
    beats = 0

    def beat() -> bool:
        nonlocal beats
        beats += bench.plan.go.is_set()
        if beats == 1:
            bench.cluster.is_away = True
            bench.cluster.cut_streams()
        if beats == 3:
            bench.cluster.write_log(bench.cluster.names("pods")[0], "while it was away")
            bench.cluster.is_away = False
            bench.hand_out({})
        return True

    bench.plan.on_run = lambda _pod: bench.plan.go.set()
    with bench.cluster:
        result = bench.run(heartbeat=beat)
    assert result.ending.cause is Cause.NO_CHANGES
    assert bench.log.splitlines() == ["squire: agent started", "while it was away"]
    assert "api_server_lost" in result.ending.evidence.facts


def test_a_server_that_stays_away_ends_the_attempt_as_lost(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)

    def leave(_pod: dict[str, Any]) -> None:
        bench.cluster.is_away = True
        bench.cluster.cut_streams()

    bench.plan.on_run = leave
    with bench.cluster:
        ending = bench.run(patience_s=0.2).ending
    assert ending.cause is Cause.ENGINE_LOST
    assert "did not answer" in ending.message
