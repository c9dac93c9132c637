"""How a pod ended, and why one does not begin, from what the API shows.

The messages are those of the Kubernetes documentation and of its components' sources; docs/reference/kubernetes.md says
which were seen on a real cluster.
"""

from typing import Any

import pytest

from squire_pipelines.agents.endings import RunFacts, decide
from squire_pipelines.agents.kubernetes.pod_endings import fetch_failure, removed, start_problem, verdict
from squire_pipelines.agents.kubernetes.pod_status import JobStatus, read_event, read_job, read_pod
from squire_pipelines.domain.endings import Cause


def pod(**status: Any) -> Any:
    return read_pod({"metadata": {"name": "p", "uid": "u"}, "status": status})


def disrupted(disruption: str, **status: Any) -> Any:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": disruption, "message": "why"}
    return pod(phase="Failed", conditions=[condition], **status)


def waiting(reason: str, message: str = "", *, name: str = "agent") -> Any:
    state = {"name": name, "image": "registry/w:1", "state": {"waiting": {"reason": reason, "message": message}}}
    return pod(phase="Pending", containerStatuses=[state])


@pytest.mark.parametrize(
    ("reason", "cause", "code"),
    [
        ("PreemptionByScheduler", Cause.ENGINE_LOST, "preempted"),
        ("DeletionByTaintManager", Cause.ENGINE_LOST, "node_lost"),
        ("EvictionByEvictionAPI", Cause.ENGINE_LOST, "drained"),
        ("DeletionByPodGC", Cause.ENGINE_LOST, "node_lost"),
        ("TerminationByKubelet", Cause.ENGINE_LOST, "node_shutdown"),
    ],
)
def test_a_disruption_is_not_the_agents_fault(reason: str, cause: Cause, code: str) -> None:
    outcome = verdict(disrupted(reason))
    assert outcome is not None
    assert (outcome.cause, outcome.code) == (cause, code)
    assert outcome.cause.transient


@pytest.mark.parametrize(
    ("reason", "message", "cause", "code"),
    [
        ("Evicted", 'Usage of EmptyDir volume "work" exceeds the limit "2Gi". ', Cause.DISK_FULL, "storage_limit"),
        (
            "Evicted",
            "Pod ephemeral local storage usage exceeds the total limit of containers 160Mi. ",
            Cause.DISK_FULL,
            "storage_limit",
        ),
        (
            "Evicted",
            'Container agent exceeded its local ephemeral storage limit "160Mi". ',
            Cause.DISK_FULL,
            "storage_limit",
        ),
        (
            "Evicted",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. ",
            Cause.KILLED,
            "node_memory",
        ),
        ("Evicted", "The node was low on resource: ephemeral-storage. ", Cause.DISK_FULL, "node_disk"),
        ("Evicted", "The node was low on resource: inodes. ", Cause.DISK_FULL, "node_disk"),
        ("Evicted", "The node was low on resource: pids. ", Cause.ENGINE_LOST, "drained"),
        ("NodeLost", "Node n which was running pod p is unresponsive", Cause.ENGINE_LOST, "node_lost"),
        ("Terminated", "Pod was terminated in response to imminent node shutdown.", Cause.ENGINE_LOST, "node_shutdown"),
        ("NodeAffinity", "Predicate NodeAffinity failed", Cause.ENGINE_LOST, "node_refused"),
        ("OutOfcpu", "Node didn't have enough resource: cpu", Cause.ENGINE_LOST, "node_refused"),
        ("OutOfephemeral-storage", "", Cause.ENGINE_LOST, "node_refused"),
        ("Preempting", "Preempted in order to admit critical pod", Cause.ENGINE_LOST, "preempted"),
        ("DeadlineExceeded", "Pod was active on the node longer than", Cause.TIMEOUT, "job_deadline"),
    ],
)
def test_a_failed_pods_own_reason_is_told_apart(reason: str, message: str, cause: Cause, code: str) -> None:
    outcome = verdict(pod(phase="Failed", reason=reason, message=message))
    assert outcome is not None
    assert (outcome.cause, outcome.code) == (cause, code)


def test_the_kubelets_disruption_is_explained_by_the_pods_reason() -> None:
    message = "The node was low on resource: memory."
    outcome = verdict(disrupted("TerminationByKubelet", reason="Evicted", message=message))
    assert outcome is not None
    assert outcome.code == "node_memory"


def test_an_end_of_its_own_is_none_of_the_clusters() -> None:
    assert verdict(pod(phase="Failed")) is None
    assert verdict(pod(phase="Succeeded", conditions=[{"type": "Ready", "status": "False"}])) is None
    assert verdict(pod(conditions=[{"type": "DisruptionTarget", "status": "False", "reason": "x"}])) is None


def test_a_job_beyond_its_deadline_is_a_timeout() -> None:
    conditions = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}]
    job = read_job({"metadata": {"name": "j", "uid": "u"}, "status": {"conditions": conditions}})
    outcome = verdict(pod(phase="Running"), job)
    assert outcome is not None
    assert outcome.cause is Cause.TIMEOUT


def test_a_pod_that_went_without_a_word_was_deleted_alone_or_with_its_job() -> None:
    assert "the agent's Job was deleted" in removed(None).message
    assert "the agent's Job was deleted" in removed(JobStatus("j", "u", is_ending=True)).message
    lost = removed(JobStatus("j", "u", failed_reason="PodFailurePolicy", failed_message="Pod p failed"))
    assert lost.cause is Cause.KILLED
    assert lost.message == "the agent's pod was deleted, and not by us (Pod p failed)"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_does_not_come_is_named(reason: str) -> None:
    problem = start_problem(waiting(reason, "manifest unknown"))
    assert problem is not None
    assert problem.cause is Cause.IMAGE_MISSING
    assert "registry/w:1" in problem.message
    assert problem.is_final == (reason == "InvalidImageName")


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])
def test_a_container_that_cannot_be_made_is_the_settings_matter(reason: str) -> None:
    problem = start_problem(waiting(reason, 'secret "squire-t1" not outcome', name="inputs"))
    assert problem is not None
    assert problem.cause is Cause.NOT_STARTABLE
    assert "squire-t1" in problem.message


def test_a_pod_without_a_node_says_why() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }
    problem = start_problem(pod(phase="Pending", conditions=[condition]))
    assert problem is not None
    assert (problem.cause, problem.trouble) == (Cause.ENGINE_LOST, "unschedulable")
    assert "3 Insufficient memory" in problem.message


def event(reason: str, message: str) -> Any:
    return read_event({"reason": reason, "message": message, "involvedObject": {"kind": "Job", "name": "j"}})


def test_a_quota_is_waited_for_and_a_policy_is_not() -> None:
    forbidden = 'Error creating: pods "j-x" is forbidden: '
    quota = start_problem(None, [event("FailedCreate", f"{forbidden}exceeded quota: agents, requested: pods=1")])
    away = start_problem(None, [event("FailedCreate", "Internal error occurred: failed calling webhook")])
    assert away is not None
    assert (away.cause, away.is_final) == (Cause.ENGINE_LOST, False)
    policy = start_problem(None, [event("FailedCreate", f'{forbidden}violates PodSecurity "restricted:latest"')])
    assert quota is not None
    assert policy is not None
    assert (quota.trouble, quota.is_final) == ("quota", False)
    assert (policy.cause, policy.is_final) == (Cause.NOT_STARTABLE, True)
    assert start_problem(None) is None


def test_volumes_and_sandboxes_that_fail_are_in_the_events() -> None:
    pending = pod(phase="Pending")
    volume = start_problem(pending, [event("FailedMount", 'MountVolume.SetUp failed: secret "x" not outcome')])
    missing = start_problem(
        pending, [event("FailedCreatePodSandBox", 'no runtime for "gvisor": RuntimeHandler "gvisor" not supported')]
    )
    assert volume is not None
    assert missing is not None
    assert volume.trouble == "volume"
    assert missing.cause is Cause.NOT_STARTABLE
    assert start_problem(pending, [event("Scheduled", "assigned")]) is None


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (123, "Error", Cause.ENGINE_LOST),
        (120, "Error", Cause.WORKSPACE_ERROR),
        (137, "OOMKilled", Cause.OUT_OF_MEMORY),
        (1, "Error", Cause.ENGINE_LOST),
    ],
)
def test_inputs_that_do_not_come_are_told_apart(code: int, reason: str, cause: Cause) -> None:
    state = {"name": "inputs", "state": {"terminated": {"exitCode": code, "reason": reason}}}
    outcome = fetch_failure(pod(phase="Failed", initContainerStatuses=[state]))
    assert outcome is not None
    assert outcome.cause is cause


def test_a_program_that_had_ended_by_itself_keeps_its_ending() -> None:
    lost = verdict(disrupted("PreemptionByScheduler"))
    assert decide(RunFacts(exit_code=1, platform=lost)).cause is Cause.AGENT_ERROR
    assert decide(RunFacts(exit_code=143, platform=lost)).cause is Cause.ENGINE_LOST
    assert decide(RunFacts(exit_code=None, platform=lost)).evidence.error_code == "preempted"
    assert decide(RunFacts(exit_code=137, oom_killed=True, platform=lost)).cause is Cause.OUT_OF_MEMORY
    assert decide(RunFacts(stop=Cause.CANCELLED, exit_code=143, platform=lost)).cause is Cause.CANCELLED


@pytest.mark.parametrize("item", [{}, {"metadata": None, "status": []}, {"status": {"containerStatuses": [1, {}]}}])
def test_strange_answers_are_read_as_not_said(item: Any) -> None:
    assert read_pod(item).phase == ""
    assert read_job(item).failed_reason == ""
