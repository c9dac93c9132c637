"""What the API says of a pod and of its Job, as frozen values. A field that is missing or strange counts as not said.

The fields: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.agents.kubernetes import names
from squire_pipelines.domain.terminal_text import one_line

_MAX_TEXT = 500
_MAX_LISTED = 50


@dataclass(frozen=True, slots=True)
class PodCondition:
    """A condition that is true or false, with its reason."""

    kind: str
    is_true: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container: why it waits, or since when it runs, or how it ended.

    `exit_code` is None while it has not ended.
    """

    name: str
    waiting_reason: str = ""
    waiting_message: str = ""
    started_at: datetime | None = None
    exit_code: int | None = None
    ended_reason: str = ""
    image_id: str = ""
    image: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.exit_code is not None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.started_at is not None and not self.ended


@dataclass(frozen=True, slots=True)
class PodStatus:
    """A pod as the API had it at one version."""

    name: str
    uid: str
    version: str
    phase: str = ""
    reason: str = ""
    message: str = ""
    node: str = ""
    created_at: datetime | None = None
    is_ending: bool = False
    unit: str = ""
    conditions: tuple[PodCondition, ...] = ()
    containers: tuple[ContainerState, ...] = ()
    init_containers: tuple[ContainerState, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether the pod will run nothing any more."""
        return self.phase in {"Succeeded", "Failed"}

    def container(self, name: str) -> ContainerState | None:
        """Return a container by its name, of those of the pod and of those before them."""
        return next((one for one in (*self.containers, *self.init_containers) if one.name == name), None)

    def condition(self, kind: str) -> PodCondition | None:
        """Return a condition; None where the pod has none of the kind."""
        return next((one for one in self.conditions if one.kind == kind), None)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A Job: whose it is, and why it failed. `failed_reason` is empty while it has not."""

    name: str
    uid: str
    attempt_id: str = ""
    is_ending: bool = False
    failed_reason: str = ""
    failed_message: str = ""
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """Something that a component of the cluster reported about an object."""

    reason: str
    message: str


def parse_time(value: object) -> datetime | None:
    """Return a time of the API (RFC 3339 in UTC); None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_pod(item: Mapping[str, Any]) -> PodStatus:
    """Return a pod of the API's answer."""
    metadata, status = _table(item, "metadata"), _table(item, "status")
    return PodStatus(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        version=_text(metadata, "resourceVersion"),
        phase=_text(status, "phase"),
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        node=_text(_table(item, "spec"), "nodeName"),
        created_at=parse_time(metadata.get("creationTimestamp")),
        is_ending=metadata.get("deletionTimestamp") is not None,
        unit=_text(_table(metadata, "labels"), names.UNIT),
        conditions=_conditions(status),
        containers=tuple(_container(one) for one in _tables(status, "containerStatuses")),
        init_containers=tuple(_container(one) for one in _tables(status, "initContainerStatuses")),
    )


def read_job(item: Mapping[str, Any]) -> JobStatus:
    """Return a Job of the API's answer."""
    metadata, conditions = _table(item, "metadata"), _conditions(_table(item, "status"))
    failed = next((one for one in conditions if one.kind in {"Failed", "FailureTarget"} and one.is_true), None)
    return JobStatus(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        attempt_id=names.attempt_of(metadata),
        is_ending=metadata.get("deletionTimestamp") is not None,
        failed_reason=failed.reason or "Failed" if failed is not None else "",
        failed_message=failed.message if failed is not None else "",
        has_ended=any(one.kind in {"Failed", "Complete"} and one.is_true for one in conditions),
    )


def read_event(item: Mapping[str, Any]) -> ClusterEvent:
    """Return an event of the API's answer."""
    return ClusterEvent(_text(item, "reason"), _text(item, "message"))


def _conditions(status: Mapping[str, Any]) -> tuple[PodCondition, ...]:
    return tuple(
        PodCondition(_text(one, "type"), one.get("status") == "True", _text(one, "reason"), _text(one, "message"))
        for one in _tables(status, "conditions")
    )


def _container(item: Mapping[str, Any]) -> ContainerState:
    state = _table(item, "state")
    waiting, running, ended = _table(state, "waiting"), _table(state, "running"), _table(state, "terminated")
    code = ended.get("exitCode")
    return ContainerState(
        name=_text(item, "name"),
        waiting_reason=_text(waiting, "reason"),
        waiting_message=_text(waiting, "message"),
        started_at=parse_time(running.get("startedAt") or ended.get("startedAt")),
        exit_code=int(code) if isinstance(code, int) else None,
        ended_reason=_text(ended, "reason"),
        image_id=_text(item, "imageID"),
        image=_text(item, "image"),
    )


def _table(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = item.get(name)
    return value if isinstance(value, dict) else {}


def _tables(item: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = item.get(name)
    return [one for one in value[:_MAX_LISTED] if isinstance(one, dict)] if isinstance(value, list) else []


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return one_line(value, limit=_MAX_TEXT) if isinstance(value, str) else ""
