"""Finds our containers by label or name, and removes them by name. Decides nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import docker
from docker.errors import APIError, NotFound

from squire_pipelines.agents import profile
from squire_pipelines.agents.engine import engine_errors
from squire_pipelines.errors import RefusedError

CONFLICT = 409
_NEVER = datetime.min.replace(tzinfo=UTC)
_LOST = "the container engine does not answer as it should"


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """One of our containers. Times are the engine's clock in UTC, None before.

    `keep_s` is how long it may be kept, `keep_until` until when that is while its repository is debugged.

    `slot` is set for a warm container (see `warm`), whose `attempt_id` is empty until an attempt has taken it.
    """

    name: str
    container_id: str
    role: str
    attempt_id: str
    running: bool
    started_at: datetime | None
    finished_at: datetime | None = None
    keep_s: float | None = None
    slot: str = ""
    keep_until: datetime | None = None

    def is_kept(self, now: datetime) -> bool:
        """Return whether it has ended and is still kept for debugging."""
        if self.running or self.finished_at is None:
            return False
        if self.keep_until is not None and now < self.keep_until:
            return True
        if self.keep_s is None:
            return False
        return now < self.finished_at + timedelta(seconds=self.keep_s)


def parse_time(text: str | None) -> datetime | None:
    """Return the engine's time (RFC 3339 with nanoseconds), None for its zero time."""
    if not text or text.startswith("0001-"):
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


def list_containers(client: docker.DockerClient, *, role: str = profile.ROLE_AGENT) -> tuple[ContainerInfo, ...]:
    """Return all containers of ours that belong to an attempt, running or not. Raises EngineError."""
    with engine_errors(_LOST):
        items = client.api.containers(all=True, filters={"label": f"{profile.LABEL_ROLE}={role}"})
    entries = (find(client, item["Id"]) for item in items)
    return tuple(entry for entry in entries if entry is not None and entry.attempt_id)


def find(client: docker.DockerClient, name: str) -> ContainerInfo | None:
    """Return the container of that name or id, ours or not; None when there is none. Raises EngineError."""
    with engine_errors(_LOST):
        try:
            return describe(client.api.inspect_container(name))
        except NotFound:
            return None


def describe(inspection: Mapping[str, Any]) -> ContainerInfo:
    """Return what the engine's answer to an inspection says."""
    labels = inspection["Config"].get("Labels") or {}
    state = inspection["State"]
    keep = labels.get(profile.LABEL_KEEP, "")
    name, slot = inspection["Name"].removeprefix("/"), labels.get(profile.LABEL_SLOT, "")
    taken_by = profile.taken_by(name, slot) if slot else ""
    return ContainerInfo(
        name=name,
        container_id=inspection["Id"],
        role=labels.get(profile.LABEL_ROLE, ""),
        attempt_id=labels.get(profile.LABEL_ATTEMPT, taken_by),
        running=bool(state.get("Running")),
        started_at=parse_time(state.get("StartedAt")),
        finished_at=parse_time(state.get("FinishedAt")),
        keep_s=float(keep) if keep.isdigit() else None,
        slot=slot,
        keep_until=_until(labels.get(profile.LABEL_KEEP_UNTIL, "")),
    )


def _until(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def beyond_bound(containers: Collection[ContainerInfo], *, debugged: int, failed: int) -> frozenset[str]:
    """Return the names of ended ones that are kept beyond a number; the newest stay.

    Args:
        containers: All of one home.
        debugged: How many are kept of those that are kept until a moment, since their repository is debugged.
        failed: How many are kept of all others whose attempts failed.
    """
    kept = [container for container in containers if not container.running]
    kept.sort(key=lambda container: (container.finished_at or _NEVER, container.name), reverse=True)
    by_debugging = [container.name for container in kept if container.keep_until is not None]
    by_failure = [one.name for one in kept if one.keep_until is None and one.keep_s is not None]
    return frozenset((*by_debugging[debugged:], *by_failure[failed:]))


def remove(client: docker.DockerClient, name: str, *, attempt_id: str | None = None) -> bool:
    """Kill and remove a container of ours (of `attempt_id` only, if it is given); return False when there was none.

    Raises:
        RefusedError: A container of that name is not ours.
        EngineError: The engine does not answer, or cannot remove it.
    """
    container = find(client, name)
    if container is None:
        return False
    if not container.attempt_id or attempt_id not in {None, container.attempt_id}:
        raise RefusedError(
            f"the container {name} is not ours to remove: its label {profile.LABEL_ATTEMPT} is not the attempt's",
            context={"label": container.attempt_id},
        )
    with engine_errors(_LOST):
        try:
            client.api.remove_container(container.container_id, force=True, v=True)
        except NotFound:
            return False
        except APIError as error:
            if error.status_code != CONFLICT:  # its removal is under way already
                raise
    return True
