"""How an attempt ended: a named cause with its evidence, and what follows for the task."""

import random
from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, JsonValue

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.tasks import TaskStatus


class Cause(StrEnum):
    """Why an attempt ended."""

    COMPLETED = "completed"
    NO_CHANGES = "no_changes"
    NOT_STARTABLE = "not_startable"
    AGENT_ERROR = "agent_error"
    AGENT_NOT_FOUND = "agent_not_found"
    PROVIDER_ERROR = "provider_error"
    CONFIGURATION = "configuration"
    BUDGET_EXHAUSTED = "budget_exhausted"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    CANCELLED = "cancelled"
    ENGINE_LOST = "engine_lost"
    IMAGE_MISSING = "image_missing"
    LOG_OVERFLOW = "log_overflow"
    DISK_FULL = "disk_full"
    WORKSPACE_ERROR = "workspace_error"
    BUNDLE_INVALID = "bundle_invalid"
    POLICY_REJECTED = "policy_rejected"
    PUBLISH_REFUSED = "publish_refused"
    GITHUB_UNAVAILABLE = "github_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    NOT_STARTED = "not_started"
    LOST = "lost"
    INTERNAL_ERROR = "internal_error"

    @property
    def transient(self) -> bool:
        """Whether another attempt at the same task may well end otherwise."""
        return self in _TRANSIENT

    @property
    def is_success(self) -> bool:
        """Whether the agent has done the task."""
        return self in {Cause.COMPLETED, Cause.NO_CHANGES}


_TRANSIENT = frozenset(
    {
        Cause.PROVIDER_ERROR,
        Cause.ENGINE_LOST,
        Cause.GITHUB_UNAVAILABLE,
        Cause.STORE_UNAVAILABLE,
        Cause.NOT_STARTED,
        Cause.LOST,
        Cause.KILLED,
        Cause.DISK_FULL,
    }
)


CRASHES = frozenset({Cause.KILLED})
"""An agent's container ended without an ending of its own, and not for want of memory."""

CONTAINER_FAILURES = CRASHES | {Cause.OUT_OF_MEMORY}
"""The same, or for want of memory: what alerts and targets count as crashed containers."""

LOST_CONTAINERS = frozenset({Cause.LOST, Cause.ENGINE_LOST, Cause.INTERNAL_ERROR})
"""The run or the engine was lost while an agent worked: how its container would have ended is not known."""

AGENTS_FAILURES = frozenset(
    {Cause.AGENT_ERROR, Cause.TIMEOUT, Cause.LOG_OVERFLOW, Cause.BUNDLE_INVALID, Cause.POLICY_REJECTED}
)
"""The failures that are the agent's own: with another agent the same task may well end otherwise."""

MAX_CHANGES = 10
"""How often a task begins again after a change of the user's that did not help."""

MAX_UNCLAIMED = 10
"""How many attempts of a task, which no run claimed, do not count as tries."""

SETTINGS_MARK = "settings_mark"
"""The fact that holds a mark of the settings and keys with which the attempt could not go on."""

STOPPED_FOR = "stopped_for"
"""The fact that holds why Squire stopped the agent."""

SESSION_FACT = "session"
"""The fact that holds what the agent's session reported."""

LEFT_OUT_FACT = "left_out"
"""The fact that holds the names of what was left out of the change, as tools leave it behind."""


class Evidence(FrozenModel):
    """What was seen when an attempt ended. `log_tail` is bounded and redacted.

    `oom_killed` is the engine's flag, `killed_by_us` is ours (timeout, cancel, overflow). With an exit code of 137 and
    neither, nobody knows who killed it: that is never taken for out of memory.
    """

    exit_code: int | None = None
    oom_killed: bool = False
    killed_by_us: bool = False
    error_code: str | None = None
    log_tail: tuple[str, ...] = ()
    timings_s: dict[str, float] = Field(default_factory=dict)
    facts: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def settings_mark(self) -> str | None:
        """With which settings and keys the attempt could not go on; None where it was not for these."""
        known = self.facts.get(SETTINGS_MARK)
        return known if isinstance(known, str) else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of what was left out of the change, as the worker says."""
        names = self.facts.get(LEFT_OUT_FACT)
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @property
    def session(self) -> Mapping[str, JsonValue]:
        """What the agent's session reported, by name; empty for an agent that reports nothing."""
        session = self.facts.get(SESSION_FACT)
        return session if isinstance(session, dict) else {}


class Ending(FrozenModel):
    """How an attempt ended. `message` is one sentence for people."""

    cause: Cause
    message: str
    evidence: Evidence = Evidence()

    @property
    def transient(self) -> bool:
        """Whether a new attempt makes sense."""
        return self.cause.transient

    @property
    def waits_for_user(self) -> bool:
        """Whether a new attempt makes sense once the user has changed the settings or a key."""
        return self.cause is Cause.CONFIGURATION and self.evidence.settings_mark is not None


def task_status_after(cause: Cause, *, attempt_number: int, max_attempts: int, again: bool = False) -> TaskStatus:
    """Return the status of a running task when its attempt ended with `cause`.

    `attempt_number` counts from 1; after a transient ending the task is `ready` again while attempts are left. With
    `again` it is so after a permanent one too: a host that shuts down cancels the attempt and not the task, and an
    attempt with more memory may follow one that ran out of it.
    """
    if cause.is_success:
        return TaskStatus.SUCCEEDED
    if (again or cause.transient) and attempt_number < max_attempts:
        return TaskStatus.READY
    return TaskStatus.CANCELLED if cause is Cause.CANCELLED else TaskStatus.FAILED


def retry_delay_s(attempt_number: int, *, base_s: float, cap_s: float, jitter: random.Random) -> float:
    """Return the seconds to wait after attempt `attempt_number`: exponential, with full jitter on the upper half.

    The source of the rule: "Exponential Backoff And Jitter", AWS Architecture Blog ("equal jitter").
    """
    ceiling = min(cap_s, base_s * 2.0 ** min(attempt_number - 1, 64))
    return ceiling / 2 + jitter.uniform(0, ceiling / 2)
