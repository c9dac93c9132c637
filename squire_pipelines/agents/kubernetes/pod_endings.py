"""Tells from what the API shows of a pod why the cluster ended it, or why it does not begin. Pure.

What the API shows depends on its version. `DisruptionTarget` came with Kubernetes 1.25 (beta in 1.26); before it, a pod
that was preempted, drained or lost with its node is deleted without a word, or has `status.reason` alone. The rules
come from the documentation, which each function names; which of them were seen on a real cluster, docs/reference/
kubernetes.md says.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from squire_pipelines.agents.endings import PlatformVerdict
from squire_pipelines.agents.kubernetes.job import CONTAINER, FETCHER
from squire_pipelines.agents.kubernetes.pod_status import ClusterEvent, ContainerState, JobStatus, PodStatus
from squire_pipelines.domain.endings import Cause

OOM_KILLED = "OOMKilled"
EXIT_DOOR_AWAY = 123
EXIT_INPUT = 120


class Trouble(StrEnum):
    """What a cluster did to a pod, or what it lacks for it: the evidence's code."""

    PREEMPTED = "preempted"
    DRAINED = "drained"
    NODE_LOST = "node_lost"
    NODE_SHUTDOWN = "node_shutdown"
    NODE_MEMORY = "node_memory"
    NODE_DISK = "node_disk"
    STORAGE_LIMIT = "storage_limit"
    REMOVED = "pod_removed"
    DEADLINE = "job_deadline"
    NODE_REFUSED = "node_refused"
    UNSCHEDULABLE = "unschedulable"
    QUOTA = "quota"
    IMAGE = "image"
    CONTAINER_CONFIG = "container_config"
    VOLUME = "volume"
    NOT_BEGUN = "not_begun"
    DOOR = "door_away"
    INPUTS = "inputs"


_NOT_ITS_FAULT = "the agent's node was taken from it"

# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_DISRUPTIONS: Mapping[str, tuple[Cause, Trouble, str]] = MappingProxyType(
    {
        "PreemptionByScheduler": (Cause.ENGINE_LOST, Trouble.PREEMPTED, "a pod of higher priority took its place"),
        "DeletionByTaintManager": (
            Cause.ENGINE_LOST,
            Trouble.NODE_LOST,
            "its node has a taint that it may not stay on",
        ),
        "EvictionByEvictionAPI": (Cause.ENGINE_LOST, Trouble.DRAINED, "it was evicted, as when a node is drained"),
        "DeletionByPodGC": (Cause.ENGINE_LOST, Trouble.NODE_LOST, "its node is not there any more"),
        "TerminationByKubelet": (Cause.ENGINE_LOST, Trouble.NODE_SHUTDOWN, "its node ended it"),
    }
)
# `status.reason` of a failed pod. https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/,
# https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/, and for what a kubelet does not admit
# https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus
_REASONS: Mapping[str, tuple[Cause, Trouble, str]] = MappingProxyType(
    {
        "NodeLost": (Cause.ENGINE_LOST, Trouble.NODE_LOST, "its node does not answer any more"),
        "Shutdown": (Cause.ENGINE_LOST, Trouble.NODE_SHUTDOWN, "its node was shut down"),
        "NodeShutdown": (Cause.ENGINE_LOST, Trouble.NODE_SHUTDOWN, "its node was shut down"),
        "Terminated": (Cause.ENGINE_LOST, Trouble.NODE_SHUTDOWN, "its node was shut down"),
        "Preempting": (Cause.ENGINE_LOST, Trouble.PREEMPTED, "its node needed the room for a critical pod"),
        "NodeAffinity": (Cause.ENGINE_LOST, Trouble.NODE_REFUSED, "its node does not fit it any more"),
        "UnexpectedAdmissionError": (Cause.ENGINE_LOST, Trouble.NODE_REFUSED, "its node did not take it"),
        "DeadlineExceeded": (Cause.TIMEOUT, Trouble.DEADLINE, "it was there for longer than its Job may be"),
    }
)
# "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage": the node had no room left when the pod came to it.
_OUT_OF = re.compile(r"OutOf[A-Za-z.-]{1,100}")
# A policy's answer, and not the trouble of asking it.
_REFUSED = re.compile(r"is forbidden|denied the request|violates PodSecurity|is invalid")
_OWN_STORAGE = re.compile(
    r"(?i)usage of emptydir volume|ephemeral local storage usage exceeds|exceeded its local ephemeral storage limit"
)
_NODE_SHORTAGE = re.compile(r"(?i)the node was low on resource: (?P<resource>[a-z.-]{1,60})")


def container_of(pod: PodStatus) -> ContainerState | None:
    """Return the agent's container; None before the kubelet has reported it."""
    return pod.container(CONTAINER)


def verdict(pod: PodStatus, job: JobStatus | None = None) -> PlatformVerdict | None:
    """Return why the cluster ended the pod; None where it did not, or does not say so.

    The surest word first: a condition of the pod, its own reason, then its Job's. The message is complete.
    """
    condition = pod.condition("DisruptionTarget")
    if condition is not None and condition.is_true and condition.reason in _DISRUPTIONS:
        # The kubelet's reason is the same for a node's shortage, its shutdown and a critical pod: the rest says which.
        if condition.reason == "TerminationByKubelet" and (by_reason := _by_reason(pod)) is not None:
            return by_reason
        cause, trouble, message = _DISRUPTIONS[condition.reason]
        return _verdict(cause, trouble, message, condition.message)
    if (by_reason := _by_reason(pod)) is not None:
        return by_reason
    if job is not None and job.failed_reason == "DeadlineExceeded":
        cause, trouble, message = _REASONS[job.failed_reason]
        return _verdict(cause, trouble, message, job.failed_message)
    return None


def removed(job: JobStatus | None) -> PlatformVerdict:
    """Return the verdict on a pod that went without a reason in what was seen last of it."""
    if job is not None and job.failed_reason == "DeadlineExceeded":
        cause, trouble, message = _REASONS[job.failed_reason]
        return _verdict(cause, trouble, message, job.failed_message)
    whose = "Job" if job is None or job.is_ending else "pod"
    detail = f" ({job.failed_message})" if job is not None and job.failed_message else ""
    return PlatformVerdict(
        Cause.KILLED, f"the agent's {whose} was deleted, and not by us{detail}", Trouble.REMOVED.value
    )


def _by_reason(pod: PodStatus) -> PlatformVerdict | None:
    if pod.reason == "Evicted":
        return _evicted(pod)
    if pod.reason in _REASONS:
        cause, trouble, message = _REASONS[pod.reason]
        return _verdict(cause, trouble, message, pod.message)
    if _OUT_OF.fullmatch(pod.reason):
        return _verdict(Cause.ENGINE_LOST, Trouble.NODE_REFUSED, "its node had no room for it", pod.message)
    return None


def _evicted(pod: PodStatus) -> PlatformVerdict:
    """Tell whether the pod used too much of its own, or the node was short of something.

    The kubelet's messages: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/ and
    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage
    """
    if _OWN_STORAGE.search(pod.message):
        return PlatformVerdict(
            Cause.DISK_FULL,
            f"the agent's pod was evicted, since it used more storage than it may: {pod.message}",
            Trouble.STORAGE_LIMIT.value,
        )
    shortage = _NODE_SHORTAGE.search(pod.message)
    resource = shortage["resource"] if shortage is not None else ""
    if resource.startswith("memory"):
        return PlatformVerdict(
            Cause.KILLED,
            f"the agent's pod was evicted, since its node had too little memory: {pod.message}",
            Trouble.NODE_MEMORY.value,
        )
    if "storage" in resource or "fs" in resource or "inodes" in resource:
        return PlatformVerdict(
            Cause.DISK_FULL,
            f"the agent's pod was evicted, since its node's disk was full: {pod.message}",
            Trouble.NODE_DISK.value,
        )
    return _verdict(Cause.ENGINE_LOST, Trouble.DRAINED, "it was evicted", pod.message)


def _verdict(cause: Cause, trouble: Trouble, message: str, detail: str) -> PlatformVerdict:
    text = f"{_NOT_ITS_FAULT}: {message}" if cause is Cause.ENGINE_LOST else f"the agent's pod was ended: {message}"
    return PlatformVerdict(cause, f"{text} ({detail})" if detail else text, trouble.value)


@dataclass(frozen=True, slots=True)
class StartProblem:
    """Why a pod does not begin: what people read of it, and how the attempt ends where it stays so.

    `is_final` says that waiting changes nothing.
    """

    trouble: Trouble
    cause: Cause
    message: str
    is_final: bool = False


# https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff
_IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_VOLUME_EVENTS = frozenset({"FailedMount", "FailedAttachVolume"})
_MISSING_CLASS = re.compile(r"(?i)runtimeclass|RuntimeHandler")


def start_problem(pod: PodStatus | None, events: Iterable[ClusterEvent] = ()) -> StartProblem | None:
    """Return what a pod waits for; None where nothing is known to be wrong, or its agent has begun.

    Args:
        pod: The Job's; None while there is none.
        events: About the Job and the pod, the newest last.
    """
    listed = tuple(events)
    if pod is None:
        return _without_pod(listed)
    for state in (*pod.init_containers, *pod.containers):
        if (problem := _waiting_container(state)) is not None:
            return problem
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and not scheduled.is_true and scheduled.reason == "Unschedulable":
        return StartProblem(
            Trouble.UNSCHEDULABLE, Cause.ENGINE_LOST, f"no node takes the agent's pod: {scheduled.message}"
        )
    for event in reversed(listed):
        if event.reason in _VOLUME_EVENTS:
            return StartProblem(
                Trouble.VOLUME, Cause.ENGINE_LOST, f"a volume of the agent's pod is missing: {event.message}"
            )
        if event.reason == "FailedCreatePodSandBox":
            is_class = _MISSING_CLASS.search(event.message) is not None
            return StartProblem(
                Trouble.CONTAINER_CONFIG,
                Cause.NOT_STARTABLE if is_class else Cause.ENGINE_LOST,
                f"the agent's node cannot make its sandbox: {event.message}",
            )
    return None


def _without_pod(events: tuple[ClusterEvent, ...]) -> StartProblem | None:
    """Tell why a Job has no pod: its controller reports `FailedCreate` with the refusal of the API server.

    https://kubernetes.io/docs/concepts/policy/resource-quotas/, https://kubernetes.io/docs/concepts/security/
    pod-security-admission/
    """
    failed = next((event.message for event in reversed(events) if event.reason == "FailedCreate"), None)
    if failed is None:
        return None
    if "exceeded quota" in failed:
        return StartProblem(Trouble.QUOTA, Cause.ENGINE_LOST, f"the namespace's quota has no room: {failed}")
    if _REFUSED.search(failed) is None:  # such as a policy's webhook that is being started: it is tried again
        return StartProblem(
            Trouble.CONTAINER_CONFIG, Cause.ENGINE_LOST, f"the cluster cannot make the agent's pod now: {failed}"
        )
    return StartProblem(
        Trouble.CONTAINER_CONFIG, Cause.NOT_STARTABLE, f"the cluster refuses the agent's pod: {failed}", is_final=True
    )


def _waiting_container(state: ContainerState) -> StartProblem | None:
    detail = f"{state.waiting_reason}: {state.waiting_message}".rstrip(": ")
    if state.waiting_reason in _IMAGE_REASONS:
        return StartProblem(
            Trouble.IMAGE,
            Cause.IMAGE_MISSING,
            f"the node cannot get the image {state.image}: {detail}",
            is_final=state.waiting_reason == "InvalidImageName",
        )
    if state.waiting_reason in _CONFIG_REASONS:
        return StartProblem(
            Trouble.CONTAINER_CONFIG, Cause.NOT_STARTABLE, f"the node cannot make the agent's container: {detail}"
        )
    return None


def fetch_failure(pod: PodStatus) -> PlatformVerdict | None:
    """Return why the inputs did not come into the pod; None where they did, or something else ended the pod."""
    state = pod.container(FETCHER)
    if state is None or not state.exit_code:
        return None
    if state.exit_code == EXIT_DOOR_AWAY:
        return PlatformVerdict(
            Cause.ENGINE_LOST,
            "the agent's pod could not reach a worker at kubernetes.door: look at the Service and the network policy",
            Trouble.DOOR.value,
        )
    if state.exit_code == EXIT_INPUT:
        return PlatformVerdict(
            Cause.WORKSPACE_ERROR,
            "the agent's pod was refused its inputs, or they were not whole",
            Trouble.INPUTS.value,
        )
    if state.ended_reason == OOM_KILLED:
        return PlatformVerdict(Cause.OUT_OF_MEMORY, "the agent's pod had too little memory to take its inputs", "oom")
    return PlatformVerdict(
        Cause.ENGINE_LOST,
        f"the container that fetches the inputs ended with {state.exit_code} ({state.ended_reason})",
        Trouble.INPUTS.value,
    )
