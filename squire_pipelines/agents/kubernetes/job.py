"""Builds an attempt's Job and Secret, from its limits and the settings to the API's objects. Makes nothing.

What each line stops: docs/security.md. The container's profile is the Docker runner's as far as a pod can say it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from squire_pipelines.agents import profile
from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.agents.supervision import HANDOVER_S
from squire_pipelines.domain.container_limits import MIN_CPUS
from squire_pipelines.sections.agents import LimitSettings
from squire_pipelines.sections.kubernetes import KubernetesSettings

CONTAINER = "agent"
FETCHER = "inputs"
TOKEN_KEY = "token"  # noqa: S105 - the name of a key in the Secret
TOKEN_FOLDER = "/run/squire-door"  # noqa: S105 - a path
KEPT_S = 3600
"""How long the cluster keeps a Job that has ended, when nobody removes it: longer than a lease and an adoption."""

_MEBIBYTE = 2**20
_MILLI = 1000
# What is written beside the memory file systems: the log, twice for the piece being rotated, and files of the node's.
# https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage
_OTHER_STORAGE = 64 * _MEBIBYTE
_ENTRYPOINT = ("/usr/bin/python3", "-I", "-u", "/usr/local/lib/squire/entrypoint.py")
# A pod has no field for these. They hold for all that the entrypoint starts; a limit that is lower already stays.
_WITH_LIMITS = 'ulimit -c 0 && ulimit -n "$1" && ulimit -f "$2" && shift 2 && exec "$@"'
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a Job is made of beside its attempt.

    Args:
        settings: Of the cluster.
        door_environment: By which the container's programs use it.
        tenant: Whose the repository is.
        input_bytes: How much the inputs are.
    """

    settings: KubernetesSettings
    door_environment: Mapping[str, str]
    tenant: str
    input_bytes: int


def deadline_s(limits: LimitSettings, settings: KubernetesSettings) -> int:
    """Return after how many seconds the cluster ends the Job by itself, when no supervisor has: later than any would.

    It counts from the Job's start, so that waiting for a node and for the image is in it.
    """
    running_s = limits.wall_clock_s + limits.grace_s + HANDOVER_S + profile.HAND_OUT_S
    return math.ceil(settings.pending_patience_s + running_s + 60)


def termination_s(limits: LimitSettings) -> int:
    """Return how long the pod has from SIGTERM to SIGKILL: for the agent's end, and for handing out what it made."""
    return math.ceil(limits.grace_s + HANDOVER_S)


def resources(limits: LimitSettings, input_bytes: int) -> dict[str, str]:
    """Return what the pod asks for and may have at most.

    Both are the same, so that its class is Guaranteed: it is evicted last, and no agent's memory is another's.
    https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/#guaranteed
    """
    return {
        "cpu": f"{math.ceil(max(MIN_CPUS, limits.cpus) * _MILLI)}m",
        "memory": str(limits.memory),
        "ephemeral-storage": str(2 * limits.log + input_bytes + _OTHER_STORAGE),
    }


def secret(inputs: AttemptInputs, token: str, *, tenant: str, job_uid: str) -> dict[str, Any]:
    """Return the Secret with the door's token, which belongs to the Job: the cluster removes it with that."""
    name = names.job_name(inputs.unit)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": names.labels(inputs, tenant), "ownerReferences": [owner]},
        "type": "Opaque",
        "immutable": True,
        "stringData": {TOKEN_KEY: token},
    }


def job(inputs: AttemptInputs, plan: JobPlan) -> dict[str, Any]:
    """Return the Job of an attempt, or of one of its parts."""
    labels, notes = names.labels(inputs, plan.tenant), names.annotations(inputs)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": names.job_name(inputs.unit), "labels": labels, "annotations": notes},
        "spec": {
            "parallelism": 1,
            "completions": 1,
            # A second try is a new attempt, which the ledger begins: with its own lease, budget and Job.
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_s(inputs.limits, plan.settings),
            "ttlSecondsAfterFinished": KEPT_S,
            # An ignored disruption would be another agent that nobody has begun, so that every end fails the Job. The
            # rules tell a disruption apart, and with them no pod takes the place of one that is still ending.
            # https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    # Kubernetes 1.25 asks for the empty list.
                    {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0]}, "onPodConditions": []},
                ]
            },
            "template": {"metadata": {"labels": labels, "annotations": notes}, "spec": pod_spec(inputs, plan)},
        },
    }


def pod_spec(inputs: AttemptInputs, plan: JobPlan) -> dict[str, Any]:
    """Return the pod of an attempt's Job. It has what Pod Security's level `restricted` asks for."""
    settings, limits = plan.settings, inputs.limits
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The door's address is a number, and nothing else is to be reached.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "hostname": "squire",
        # The pause container is process 1 and takes orphans in, as `init` does for Docker.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": termination_s(limits),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": profile.WORKER_UID,
            "runAsGroup": profile.WORKER_UID,
            "fsGroup": profile.WORKER_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_container(inputs, plan, FETCHER)],
        "containers": [_container(inputs, plan, CONTAINER)],
        "volumes": _volumes(inputs, plan),
    }
    optional = {
        "runtimeClassName": settings.runtime_class,
        "priorityClassName": settings.priority_class,
        "nodeSelector": dict(settings.node_selector),
        "tolerations": [toleration.manifest() for toleration in settings.tolerations],
        "imagePullSecrets": [{"name": settings.image_pull_secret}] if settings.image_pull_secret else None,
    }
    return spec | {name: value for name, value in optional.items() if value}


def _container(inputs: AttemptInputs, plan: JobPlan, name: str) -> dict[str, Any]:
    amounts = resources(inputs.limits, plan.input_bytes)
    is_agent = name == CONTAINER
    limits = (str(inputs.limits.open_files), str(profile.file_size_limit(inputs.limits) // _BLOCK_BYTES))
    variables = {"HOME": profile.HOME} | profile.environment(inputs, None) | dict(plan.door_environment)
    mounts: list[dict[str, Any]] = [
        {"name": "in", "mountPath": "/in", "readOnly": is_agent},
        {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
    ]
    if is_agent:
        mounts += [
            {"name": "work", "mountPath": "/work"},
            {"name": "home", "mountPath": profile.HOME},
            {"name": "out", "mountPath": "/out"},
        ]
    return {
        "name": name,
        "image": inputs.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", _WITH_LIMITS, "sh", *limits, *_ENTRYPOINT],
        "args": [] if is_agent else ["fetch"],
        "env": [{"name": key, "value": value} for key, value in sorted(variables.items())],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "volumeMounts": mounts,
    }


def _volumes(inputs: AttemptInputs, plan: JobPlan) -> list[dict[str, Any]]:
    """Return the pod's volumes. What the agent writes to is in its memory, which the kernel bounds as Docker's is.

    https://kubernetes.io/docs/concepts/storage/volumes/#emptydir
    """
    limits = inputs.limits
    in_memory = {
        "work": limits.workspace,
        "home": limits.home,
        "tmp": limits.tmp,
        "out": profile.out_size(limits),
    }
    return [
        {"name": "in", "emptyDir": {"sizeLimit": str(plan.input_bytes + 16 * _MEBIBYTE)}},
        *({"name": n, "emptyDir": {"medium": "Memory", "sizeLimit": str(size)}} for n, size in in_memory.items()),
        {"name": "token", "secret": {"secretName": names.job_name(inputs.unit), "defaultMode": 0o440}},
    ]
