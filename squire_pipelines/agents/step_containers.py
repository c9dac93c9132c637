"""Removes containers of our own code's steps, which Dagster's docker executor makes and leaves.

They are told from agents' containers by their role, and from another home's on the same engine by the home's label.
"""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from squire_pipelines.agents import profile, reap
from squire_pipelines.agents.engine import engine_errors

ROLE_STEP = "step"
LABEL_HOME = "squire.home"
# The executor still asks for a step's container shortly after it has ended.
SETTLED_S = 30.0
_NOT_RUNNING = ["created", "exited", "dead"]
# After this time a container that was never started is nobody's: its maker has died.
UNSTARTED_S = 300.0


def labels(home: Path) -> dict[str, str]:
    """Return the labels of a step's container."""
    return {profile.LABEL_ROLE: ROLE_STEP, LABEL_HOME: str(home)}


def _is_over(inspection: dict[str, Any], before: datetime, unstarted_before: datetime) -> bool:
    if inspection["State"].get("Status") == "created":
        created_at = reap.parse_time(inspection.get("Created"))
        return created_at is not None and created_at <= unstarted_before
    ended_at = reap.parse_time(inspection["State"].get("FinishedAt"))
    return ended_at is None or ended_at <= before


def ended(
    client: docker.DockerClient, home: Path, *, older_than_s: float = SETTLED_S, unstarted_s: float = UNSTARTED_S
) -> tuple[str, ...]:
    """Return the ids of this home's step containers that ended over `older_than_s` ago.

    Those that were not started within another `unstarted_s` seconds are among them.

    Raises:
        EngineError: The engine does not answer.
    """
    filters = {"label": [f"{name}={value}" for name, value in labels(home).items()], "status": _NOT_RUNNING}
    before = datetime.now(UTC) - timedelta(seconds=older_than_s)
    unstarted_before = before - timedelta(seconds=unstarted_s)
    over = []
    with engine_errors("step containers could not be listed"):
        for item in client.api.containers(all=True, filters=filters):
            with contextlib.suppress(NotFound):  # another process was quicker
                if _is_over(client.api.inspect_container(item["Id"]), before, unstarted_before):
                    over.append(str(item["Id"]))
    return tuple(over)


def remove_ended(
    client: docker.DockerClient, home: Path, *, older_than_s: float = SETTLED_S, unstarted_s: float = UNSTARTED_S
) -> int:
    """Remove the containers that `ended` returns; return how many. Raises EngineError."""
    removed = 0
    for container_id in ended(client, home, older_than_s=older_than_s, unstarted_s=unstarted_s):
        with engine_errors("step containers could not be removed"):
            try:
                client.api.remove_container(container_id, v=True)
                removed += 1
            except APIError as error:
                if error.status_code not in {404, reap.CONFLICT}:  # another process removed it, or is about to
                    raise
    return removed
