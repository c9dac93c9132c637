"""Agents' containers as the reaper sees them: found by label, removed by name. Decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from squire_pipelines.agents import profile
from squire_pipelines.errors import EngineError, RefusedError

CONFLICT = 409


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """One of our containers. Times are the engine's clock in UTC, None before; `keep_s` is how long it may be kept.

    `slot` is that of a container that was made ahead (see `warm`), whose `attempt_id` is empty until one has taken it.
    """

    name: str
    container_id: str
    role: str
    attempt_id: str
    task_id: str
    run_id: str | None
    trace_id: str
    running: bool
    started_at: datetime | None
    finished_at: datetime | None = None
    keep_s: float | None = None
    slot: str = ""

    def is_kept(self, now: datetime) -> bool:
        """Whether it has ended and is kept for debugging still."""
        if self.running or self.keep_s is None or self.finished_at is None:
            return False
        return now < self.finished_at + timedelta(seconds=self.keep_s)


def parse_time(text: str | None) -> datetime | None:
    """The engine's time (RFC 3339 with nanoseconds), None for its zero time."""
    if not text or text.startswith("0001-"):
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


def list_containers(client: docker.DockerClient, *, role: str = profile.ROLE_AGENT) -> tuple[FoundContainer, ...]:
    """All containers of ours that are somebody's, running or not. Raises EngineError."""
    try:
        found = client.api.containers(all=True, filters={"label": f"{profile.LABEL_ROLE}={role}"})
    except (DockerException, requests.RequestException) as error:
        raise _lost(error) from error
    entries = (find(client, item["Id"]) for item in found)
    return tuple(entry for entry in entries if entry is not None and entry.attempt_id)


def find(client: docker.DockerClient, name: str) -> FoundContainer | None:
    """The container of that name or id, ours or not; None when there is none. Raises EngineError."""
    try:
        seen = client.api.inspect_container(name)
    except NotFound:
        return None
    except (DockerException, requests.RequestException) as error:
        raise _lost(error) from error
    return describe(seen)


def describe(seen: Mapping[str, Any]) -> FoundContainer:
    """What the engine's answer to an inspection says."""
    marks = seen["Config"].get("Labels") or {}
    state = seen["State"]
    keep = marks.get(profile.LABEL_KEEP, "")
    name, slot = seen["Name"].removeprefix("/"), marks.get(profile.LABEL_SLOT, "")
    taken_by = profile.taken_by(name, slot) if slot else ""
    return FoundContainer(
        name=name,
        container_id=seen["Id"],
        role=marks.get(profile.LABEL_ROLE, ""),
        attempt_id=marks.get(profile.LABEL_ATTEMPT, taken_by),
        task_id=marks.get(profile.LABEL_TASK, ""),
        run_id=marks.get(profile.LABEL_RUN) or None,
        trace_id=marks.get(profile.LABEL_TRACE, ""),
        running=bool(state.get("Running")),
        started_at=parse_time(state.get("StartedAt")),
        finished_at=parse_time(state.get("FinishedAt")),
        keep_s=float(keep) if keep.isdigit() else None,
        slot=slot,
    )


def remove(client: docker.DockerClient, name: str, *, attempt_id: str | None = None) -> bool:
    """Kill and remove a container of ours (of `attempt_id` only, if it is given); False when there was none.

    Raises:
        RefusedError: A container of that name is not ours.
        EngineError: The engine does not answer, or cannot remove it.
    """
    found = find(client, name)
    if found is None:
        return False
    if not found.attempt_id or attempt_id not in {None, found.attempt_id}:
        raise RefusedError(
            f"the container {name} is not ours to remove: its label {profile.LABEL_ATTEMPT} is not the attempt's",
            context={"label": found.attempt_id},
        )
    try:
        client.api.remove_container(found.container_id, force=True, v=True)
    except NotFound:
        return False
    except APIError as error:
        if error.status_code == CONFLICT:  # its removal is under way already
            return True
        raise _lost(error) from error
    except (DockerException, requests.RequestException) as error:
        raise _lost(error) from error
    return True


def _lost(error: Exception) -> EngineError:
    return EngineError(f"the container engine does not answer as it should: {str(error)[:300]}")
