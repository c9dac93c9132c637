"""Why a task waits: the one rule, which lists, `squire tasks show` and the daemon's report share.

Waiting is derived and never stored. Standard library only, as all that `squire tasks list` needs. What depends on
settings (caps, budgets, whether dependencies have to be merged) is in `queue_waits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from squire_pipelines.ledger.task_query import QueryRunner


class WaitKind(StrEnum):
    """What a task waits for."""

    APPROVAL = "approval"
    DEPENDENCY = "dependency"
    TIME = "time"
    SETTINGS = "settings"
    REPOSITORY = "repository"
    CAP = "cap"
    BREAKER = "breaker"
    BUDGET = "budget"
    AGENT = "agent"
    START = "start"


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a task does not run yet, in words; `until` when that ends by itself, None where nobody knows."""

    kind: WaitKind
    text: str
    until: datetime | None = None


FOR_ITS_START = Wait(WaitKind.START, "its start")
"""What a task waits for when nothing in the ledger stands in its way: a slot, an engine, a daemon that runs.

Whoever knows the settings or asks the engine looks at them then.
"""

FOR_ITS_AGENT = "its agent, which cannot start"
"""What a task waits for whose agent was asked about; the reason follows."""


FOR_THE_USERS_CAUSE = "configuration"
"""The value of `Cause.CONFIGURATION`, whose module takes too long to import here."""

FOR_ITS_REPOSITORY = "its repository's people"
"""Whom a task waits for in whose repository nothing is started; what they would have to do follows."""

FOR_THE_USER = "a change of the settings or a key"
"""What a task waits for whose last attempt found what only the user can change."""


def waiting_reason(
    status: str, not_before: datetime | None, dependencies: Sequence[str], *, now: datetime, cause: str | None = None
) -> Wait | None:
    """Return why a task does not run yet; None when it does not wait.

    Args:
        status: The task's status.
        not_before: When it may run at the earliest.
        dependencies: The ids of the tasks that it waits for, as `read_open_dependencies` gives them.
        now: The ledger's time.
        cause: Of its last attempt's end.
    """
    if status != "ready":
        return Wait(WaitKind.APPROVAL, "approval") if status == "proposed" else None
    if cause == FOR_THE_USERS_CAUSE:
        return Wait(WaitKind.SETTINGS, FOR_THE_USER)
    if not_before and not_before > now:
        day = "" if not_before.date() == now.date() else f"{not_before:%Y-%m-%d} "
        return Wait(WaitKind.TIME, f"not before {day}{not_before:%H:%M:%S} UTC", not_before)
    if dependencies:
        return Wait(WaitKind.DEPENDENCY, f"depends on {', '.join(dependencies)}")
    return FOR_ITS_START


def read_stopped(runner: QueryRunner, repositories: Sequence[str]) -> dict[str, str]:
    """Return, for each of these repositories in which nothing is started, what its people would have to do."""
    names = list(dict.fromkeys(repositories))
    if not names:
        return {}
    condition, values = runner.among("repository", names)
    reasons = {}
    for row in runner.run(
        f"SELECT repository, problem FROM repository_files WHERE problem IS NOT NULL AND {condition}",  # noqa: S608
        values,
    ):
        reasons[row["repository"]] = f"{FOR_ITS_REPOSITORY} to correct .github/squire.toml: {row['problem']}"
    spelled = {name.casefold(): name for name in names}
    condition, values = runner.among("repository", list(spelled))
    for row in runner.run(
        f"SELECT repository, state, pr_url FROM onboardings WHERE state <> 'merged' AND {condition}",  # noqa: S608
        values,
    ):
        verb = "merge" if row["state"] == "open" else "agree, who closed"
        reasons[spelled[row["repository"]]] = f"{FOR_ITS_REPOSITORY} to {verb} {row['pr_url']}"
    return reasons


def read_open_dependencies(runner: QueryRunner, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each of these tasks that has any, the ids of tasks which it depends on and that did not succeed."""
    if not ids:
        return {}
    condition, values = runner.among("d.task_id", ids)
    rows = runner.run(
        "SELECT d.task_id, d.depends_on FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on "  # noqa: S608 - ours
        f"WHERE t.status <> 'succeeded' AND {condition} ORDER BY d.depends_on",
        values,
    )
    dependencies: dict[str, list[str]] = {}
    for row in rows:
        dependencies.setdefault(row["task_id"], []).append(row["depends_on"])
    return dependencies
