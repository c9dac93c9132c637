"""Tasks and plans: what is to be done, why, and how to see that it is done. The checks of a plan are in `plans`."""

import hashlib
from enum import IntEnum, StrEnum
from typing import Annotated, Any

from pydantic import Field, JsonValue, WithJsonSchema, field_serializer, field_validator

from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.container_limits import TaskLimits
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.plan_making import PlanStep, PlanUse, RefusedAnswer
from squire_pipelines.domain.recorded_inputs import RecordedInputs


class TaskStatus(StrEnum):
    """A task's stored state. "Waiting" is derived, never stored."""

    PROPOSED = "proposed"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether only a person's `retry` can change this state."""
        return self in {TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class AttemptStatus(StrEnum):
    """An attempt's stored state."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHING = "publishing"
    ENDED = "ended"


class TaskKind(StrEnum):
    """What kind of work a task is."""

    FIX_CI = "fix_ci"
    ADDRESS_REVIEW = "address_review"
    RESOLVE_ISSUE = "resolve_issue"
    MANUAL = "manual"
    OTHER = "other"


class Priority(IntEnum):
    """How soon a task should run: 0 first."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


_PRIORITY_NAMES: list[JsonValue] = [member.name.lower() for member in Priority]


class Risk(StrEnum):
    """How much harm a wrong change could do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """How much harm: 0 for the least."""
        return tuple(Risk).index(self)


class TaskContext(FrozenModel):
    """Where in the repository to look."""

    files_to_read: tuple[str, ...] = ()
    patterns_to_follow: tuple[str, ...] = ()
    related_code: tuple[str, ...] = ()


class Implementation(FrozenModel):
    """How the planner would go about it."""

    approach: str = ""
    files_to_modify: tuple[str, ...] = ()
    files_to_create: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


class Verification(FrozenModel):
    """How to see that it is done. True asks for a kind of check, False leaves it out, None is as the settings say."""

    run_tests: bool | None = None
    run_lint: bool | None = None
    run_build: bool | None = None
    custom_checks: tuple[str, ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """The kinds of checks that are not to be run."""
        asked = {"tests": self.run_tests, "lint": self.run_lint, "build": self.run_build}
        return tuple(kind for kind, is_asked in asked.items() if is_asked is False)


class EstimatedSize(FrozenModel):
    """How large the change is expected to be: files touched, and lines added or removed."""

    files: int = Field(ge=0, le=1_000_000)
    lines: int = Field(ge=0, le=100_000_000)

    def __str__(self) -> str:
        files = f"{self.files} file{'' if self.files == 1 else 's'}"
        return f"{files}, {self.lines} line{'' if self.lines == 1 else 's'}"


class FollowUpKind(StrEnum):
    """The work that Squire does on its own pull request without being asked."""

    CHECKS = "checks"
    REMARKS = "remarks"
    CONFLICT = "conflict"


class FollowUp(FrozenModel):
    """What a task does on a pull request of ours, by itself, and the head that it was made for.

    `base_sha` is the head of its base that it conflicts with; None for other work.
    """

    kind: FollowUpKind
    head_sha: str
    base_sha: str | None = None


class PlannedWork(FrozenModel):
    """What a planner says of one piece of work.

    `key` names the task within its plan and `depends_on` names other keys of the same plan. `signals` are the refs
    (`kind:key`) that it answers. `base_branch` is the branch that the pull request goes into. `size` is the planner's
    estimate, None where it made none; `confidence_factors` say in words what `confidence` rests on, and `evidence`
    names the refs of the facts that the planner judged by.
    """

    key: str = Field(min_length=1, max_length=100)
    title: str = Field(min_length=1, max_length=200)
    kind: TaskKind = TaskKind.OTHER
    prompt: str = Field(min_length=1, max_length=50_000)
    priority: Annotated[Priority, WithJsonSchema({"enum": _PRIORITY_NAMES})] = Priority.MEDIUM
    risk: Risk = Risk.LOW
    confidence: float = Field(default=1.0, ge=0.0, le=1.0)
    confidence_factors: tuple[str, ...] = Field(default=(), max_length=20)
    size: EstimatedSize | None = None
    base_branch: str = Field(min_length=1, max_length=255)
    signals: tuple[str, ...] = ()
    evidence: tuple[str, ...] = Field(default=(), max_length=200)
    depends_on: tuple[str, ...] = ()
    context: TaskContext = TaskContext()
    acceptance_criteria: tuple[str, ...] = ()
    implementation: Implementation = Implementation()
    verification: Verification = Verification()

    @field_validator("priority", mode="before")
    @classmethod
    def _priority_by_name(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.isdigit():
            try:
                return Priority[value.strip().upper()]
            except KeyError as error:
                names = ", ".join(member.name.lower() for member in Priority)
                raise ValueError(f"unknown priority {value!r}: one of {names}") from error
        return value

    @field_serializer("priority")
    def _priority_name(self, value: Priority) -> str:
        return value.name.lower()


class TaskSpec(PlannedWork):
    """One piece of work; the agent gets all of it, as JSON.

    `limits` are where its container needs more or less than the repository's limits; the settings bound them.
    `allow_protected` names protected paths (globs) that the work needs; a change of them still needs a person's
    approval. `protected_paths` are those that a planner says the task changes, as they are named; they are for people,
    and allow nothing. `agent` is the one that a person wants for it. `follow_up` says what it does on a pull request of
    ours. `repository` is the one that a task of a plan over several is for, None in a plan of one.
    """

    allow_protected: tuple[str, ...] = ()
    protected_paths: tuple[str, ...] = ()
    limits: TaskLimits | None = None
    agent: AgentOrder | None = None
    follow_up: FollowUp | None = None
    repository: str | None = None


class LeftOutReason(StrEnum):
    """Why a task that a planner proposed is not in its plan."""

    TOO_LARGE = "too_large"
    DUPLICATE = "duplicate"
    DEPENDENCY = "dependency"
    OVER_LIMIT = "over_limit"


class LeftOutTask(FrozenModel):
    """A task that a planner proposed and that is not in its plan; `message` says why, for people.

    `duplicate_of` is the work that it repeats: the id of a task, `#` and a pull request's number, or the key of an
    earlier task of the plan. `task_id` is the task of the ledger that stands for it: what depends on it waits for that.
    """

    key: str
    title: str
    signals: tuple[str, ...] = ()
    reason: LeftOutReason
    message: str
    duplicate_of: str | None = None
    task_id: str | None = None


class Plan(FrozenModel):
    """The tasks that a planner proposes for one repository, or for several together: see `plan_groups`.

    `planner` names who planned (`rules`, or `llm:<model>`), `signals_digest` what it saw; `notes` are for people, for
    example why the rules planned instead of a model. `left_out` are tasks that it proposed and that become none.
    `model`, `provider` (whose model it is) and `prompt_version` are None for rules. `steps` led to it. `model_failed`
    says that a model was to plan and gave no plan; `provisional` that it did not come to answer, so that it is asked
    again. `use` is what the conversations used, None where no model was asked, `refused` are the answers that were not
    taken, `settings_digest` is of what the plan was made by beside the signals, and `inputs` are what its planner saw.
    What the plan's row, or another table, has is not in its JSON.
    """

    repository: str
    planner: str
    signals_digest: str
    tasks: tuple[TaskSpec, ...] = ()
    notes: tuple[str, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    left_out: tuple[LeftOutTask, ...] = ()
    model: str | None = Field(default=None, exclude=True)
    provider: str | None = Field(default=None, exclude=True)
    prompt_version: str | None = Field(default=None, exclude=True)
    model_failed: bool = Field(default=False, exclude=True)
    provisional: bool = Field(default=False, exclude=True)
    use: PlanUse | None = Field(default=None, exclude=True)
    refused: tuple[RefusedAnswer, ...] = Field(default=(), exclude=True)
    settings_digest: str | None = Field(default=None, exclude=True)
    inputs: RecordedInputs | None = Field(default=None, exclude=True)


def fingerprint(repository: str, spec: TaskSpec, versions: dict[str, str]) -> str:
    """Return what makes two tasks the same: repository, kind and the facts that they answer, each in its version.

    `versions` maps a signal's ref to its version; a task without signals is identified by title and prompt.
    """
    facts = sorted(f"{ref}@{versions.get(ref, '')}" for ref in set(spec.signals)) or [spec.title, spec.prompt]
    text = "\n".join([repository, spec.kind, spec.base_branch, *facts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
