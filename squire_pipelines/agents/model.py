"""Types of one attempt's run: what goes in, what comes out, and how the attempt's folder is laid out.

No I/O: `attempt_files` writes and reads the folder, the runners fill a `RunResult`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from squire_pipelines.agents.adapters.caches import Cache
from squire_pipelines.agents.adapters.protocol import Agent, LaunchSpec
from squire_pipelines.domain.endings import Ending
from squire_pipelines.domain.untrusted_text import PrintableText
from squire_pipelines.sections.agents import LimitSettings

SCHEMA = 1
# Of attempt.json when it says what an older worker image would not do, and so has to refuse.
_NEW_WORKER_SCHEMA = 2
_ATTEMPT_FIELDS = (
    *("attempt_id", "task_id", "trace_id", "repository", "base_ref", "base_sha", "branch"),
    *("bot_name", "bot_email", "commit_message"),
)


class AttemptFolder:
    """One attempt's folder: `in/` (read-only for the agent), `out/` (the agent's), `agent.log` and `keep/` (ours)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.inbox = root / "in"
        """What the agent is given."""
        self.out = root / "out"
        """What the agent leaves; nothing in it is to be trusted."""
        self.keep = root / "keep"
        """What was taken over from `out` within its bounds."""
        self.log = root / "agent.log"
        """The agent's output: bounded, without terminal codes, redacted."""
        self.started = root / "started.json"
        """When the container was started, by a clock that nobody can set."""
        self.work = root / "work"
        """The agent's workspace, only while debugging (`keep_failed_containers`). Git never runs in it on the host."""


@dataclass(frozen=True, slots=True)
class SharedSocket:
    """A gateway's socket `name` in a volume of the engine's."""

    volume: str
    name: str


# On this machine, or in a volume that the gateway's container and the agent's share.
GatewaySocket: TypeAlias = Path | SharedSocket


@dataclass(frozen=True, slots=True)
class AttemptInputs:
    """All that a runner needs to know of an attempt.

    Args:
        attempt_id: Names the container too, so that a repeated start finds the first one.
        base_sha: The full commit id that the agent starts from; `base_ref` is its branch in the bundle.
        branch: The branch that the agent's commits are on in `result.bundle`.
        task_json: The task, whole, as JSON text.
        agent: What reads the output and judges the session; `launch` is how its program is started.
        caches: Package caches that it may read.
        leftovers: Git's patterns of what tools leave behind, which the change leaves out; see `domain.leftovers`.
        takes_empty: Whether a commit without a change is an answer, as of a conflict without marks.
        part: Names a container beside the agent's own, such as that of the checks; such a one hands no bundle out.
        attempt_dir: The attempt's folder; see `AttemptFolder`.
    """

    attempt_id: str
    task_id: str
    run_id: str | None
    trace_id: str
    repository: str
    base_ref: str
    base_sha: str
    branch: str
    bot_name: str
    bot_email: str
    commit_message: str
    task_json: str
    prompt: str
    agent: Agent
    launch: LaunchSpec
    limits: LimitSettings
    image: str
    attempt_dir: Path
    caches: tuple[Cache, ...] = ()
    leftovers: tuple[str, ...] = ()
    takes_empty: bool = False
    part: str = ""

    @property
    def unit(self) -> str:
        """What names the container: the attempt, or a part of it."""
        return f"{self.attempt_id}-{self.part}" if self.part else self.attempt_id

    @property
    def folder(self) -> AttemptFolder:
        """The layout of the attempt's folder."""
        return AttemptFolder(self.attempt_dir)

    def attempt_json(self) -> str:
        """Return `attempt.json` as the worker's entrypoint reads it."""
        fields = {name: getattr(self, name) for name in _ATTEMPT_FIELDS}
        agent = {"kind": self.agent.name, **self.launch.document()}
        schema = _NEW_WORKER_SCHEMA if self.launch.needs_new_worker else SCHEMA
        more = {"hands_out": not self.part, "leftovers": self.leftovers, "agent": agent}
        if self.takes_empty:
            more["takes_empty"] = True
        return json.dumps({"schema": schema, **fields, **more}, indent=2)


class ResultStatus(StrEnum):
    """What the entrypoint reports of the agent's work."""

    CHANGED = "changed"
    NO_CHANGES = "no_changes"
    ERROR = "error"


class _Parsed(BaseModel):
    # A newer worker image may say more than we know; the agent may write anything, hence the types and bounds.
    model_config = ConfigDict(frozen=True, extra="ignore")


class ResultError(_Parsed):
    """Why the entrypoint could not do its work."""

    code: PrintableText = Field(max_length=100)
    message: PrintableText = Field(default="", max_length=20_000)


class ResultTimings(_Parsed):
    """Seconds; a step that was not reached has none. When something happened, our own clock says."""

    clone_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    bundle_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class AgentResult(_Parsed):
    """`result.json`. The agent runs as the same user as the entrypoint: a claim, never a proof."""

    schema_version: int = Field(alias="schema", ge=SCHEMA, le=SCHEMA)
    status: ResultStatus
    agent_exit_code: int | None = Field(default=None, ge=0, le=255)
    head_sha: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    commits: int = Field(default=0, ge=0, le=1_000_000)
    uncommitted_committed: bool = False
    left_out: tuple[Annotated[PrintableText, Field(max_length=300)], ...] = Field(default=(), max_length=30)
    error: ResultError | None = None
    timings: ResultTimings = ResultTimings()
    agent_version: Annotated[PrintableText, Field(max_length=200)] | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended and what it left.

    `bundle` lies in the attempt's `keep/`, within its size but not yet verified. `image_digest` is the engine's id
    of the image (None without a container). The times are UTC and by our clock; `timings` are seconds.
    """

    ending: Ending
    result: AgentResult | None = None
    bundle: Path | None = None
    image_digest: str | None = None
    agent_started_at: datetime | None = None
    agent_ended_at: datetime | None = None
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
