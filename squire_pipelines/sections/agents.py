"""The sections of the settings that say which agent a task gets, and how agents differ from `[agent]`."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, ValidationInfo, model_validator

from squire_pipelines.agent_names import image_of
from squire_pipelines.agent_names import known as known_agent
from squire_pipelines.agent_names import names as agent_kinds
from squire_pipelines.domain.agent_choice import ChoiceRule
from squire_pipelines.domain.container_limits import MIN_CPUS, MIN_MEMORY, Bytes, TaskLimits
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.sections.types import (
    BaseUrl,
    CacheSource,
    Command,
    EngineName,
    Image,
    Label,
    Name,
    ProviderChoices,
    SeccompProfile,
    Seconds,
    SettingsSection,
    Skills,
    matching,
)
from squire_pipelines.sections.workers import WorkerLabels

MAX_RULES = 50
AgentName = Annotated[
    str, matching(r"[a-z][a-z0-9_-]{0,39}", "an agent's name has up to 40 small letters, digits, - and _, like codex")
]
"""Of a table `[agents.NAME]`, or a kind of agent."""
Weight = Annotated[int, Field(ge=1, le=1000)]


def _as_weights(value: object) -> object:
    if isinstance(value, list | tuple):
        raise ValueError("agent is a name, or weights like { codex = 3, opencode = 1 }")  # noqa: TRY004 - pydantic's
    return {value: 1} if isinstance(value, str) else value


def _refuse_name(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        raise ValueError(f'{info.field_name} is a list: {info.field_name} = ["{value}"]')  # noqa: TRY004 - pydantic's
    return value


class ChooseSettings(SettingsSection):
    """A rule: which agent the tasks that it fits get. The first rule that fits counts."""

    agent: Annotated[
        dict[AgentName, Weight],
        BeforeValidator(_as_weights, json_schema_input_type=AgentName | dict[AgentName, Weight]),
    ] = Field(description="a name, or a table of names with their weights", min_length=1, max_length=20)
    model: Name | None = Field(default=None, description="of this agent, where it is not its usual one")
    kinds: Annotated[tuple[TaskKind, ...], BeforeValidator(_refuse_name)] = Field(
        default=(), description="of tasks; none means all"
    )
    labels: Annotated[tuple[Label, ...], BeforeValidator(_refuse_name)] = Field(
        default=(), description="of the issue or pull request, one of them; none means all"
    )

    @model_validator(mode="after")
    def _model_of_one(self) -> Self:
        if self.model is not None and len(self.agent) > 1:
            raise ValueError(
                f"model = {self.model!r} is for one agent, and agent has {len(self.agent)}: set the model of each in "
                "its table [agents.NAME]"
            )
        return self

    @property
    def rule(self) -> ChoiceRule:
        """The rule as it is applied."""
        return ChoiceRule(dict(self.agent), frozenset(self.kinds), frozenset(self.labels), self.model)


def _refuse_one_table(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("it is a list of rules: write [[agent.choose]] above each")  # noqa: TRY004 - pydantic's
    return value


ChooseRules = Annotated[tuple[ChooseSettings, ...], BeforeValidator(_refuse_one_table)]
"""The rules in their order."""


class NamedAgentSettings(SettingsSection):
    """An agent beside that of `[agent]`, from which it takes what it does not say itself."""

    kind: Annotated[str, AfterValidator(known_agent)] | None = Field(
        default=None, description="else that of its name, or of [agent]"
    )
    command: Command = ()
    model: Name | None = None
    provider: ProviderChoices | None = Field(default=None, description="of the model, or several, as in [agent]")
    base_url: BaseUrl | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)
    skills: Skills = ()
    image: Image | None = None
    limits: dict[str, Any] = Field(default_factory=dict, description="as in [agent.limits]")
    worker_labels: WorkerLabels = Field(default=(), description="as in [agent]")


def _check_kinds(tables: dict[str, NamedAgentSettings]) -> dict[str, NamedAgentSettings]:
    for name, table in tables.items():
        if table.kind not in (None, name) and name in agent_kinds():
            raise ValueError(
                f"[agents.{name}] has kind = {table.kind!r}, and {name} is a kind of its own: give the table another "
                "name, or remove kind"
            )
    return tables


NamedAgents = Annotated[dict[AgentName, NamedAgentSettings], AfterValidator(_check_kinds)]
"""By name."""


class LimitSettings(SettingsSection):
    """What one agent's container may use. `workspace`, `home`, `tmp` and `output` are in memory; no swap."""

    cpus: float = Field(default=2, ge=MIN_CPUS, le=256)
    memory: Annotated[Bytes, Field(ge=MIN_MEMORY)] = 4 * 2**30
    pids: int = Field(default=256, ge=16, le=32768)
    workspace: Bytes = 2 * 2**30
    home: Bytes = 512 * 2**20
    tmp: Bytes = 512 * 2**20
    open_files: int = Field(default=4096, ge=64, le=2**20)
    wall_clock_s: Seconds = 1800
    log: Bytes = 50 * 2**20
    output: Bytes = 100 * 2**20
    transcript: Bytes = 8 * 2**20
    grace_s: float = Field(default=10, ge=0, le=300)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        # All of them full must leave room, or the engine kills an agent for writing files.
        total = self.workspace + self.home + self.tmp + self.output
        if total >= self.memory:
            raise ValueError(
                f"workspace + home + tmp + output = {total} bytes, which is not less than memory = {self.memory}; "
                "they are kept in memory: raise memory or lower one of them"
            )
        return self


class WarmPoolSettings(SettingsSection):
    """Containers that are made ahead and wait for an attempt."""

    size: int = Field(default=0, ge=0, le=20, description="how many wait; 0 makes each container when it is needed")
    max_age_s: Seconds = Field(default=3600, description="older ones are replaced")


class AgentSettings(SettingsSection):
    """The program that does a task."""

    kind: Annotated[str, AfterValidator(known_agent)] = Field(
        default="opencode", description="or an installed package's"
    )
    command: Command = ()
    model: Name | None = None
    provider: ProviderChoices | None = Field(
        default=None, description="of the model, a table [providers.NAME]; or several, in order or by weight"
    )
    base_url: BaseUrl | None = None
    choose: ChooseRules = Field(default=(), max_length=MAX_RULES, description="rules for tasks that another agent does")
    fallback: tuple[AgentName, ...] = Field(default=(), max_length=10, description="the next ones after failures")
    fallback_after: int = Field(default=2, ge=1, le=10, description="attempts that failed of the agent")
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="for an agent of a package, which checks it"
    )
    skills: Skills = Field(default=(), description="folders of instructions with a SKILL.md")
    caches: dict[Literal["npm", "pnpm", "pip", "uv"], CacheSource] = Field(
        default_factory=dict, description="by package manager: a folder or volume, read-only"
    )
    runner: Literal["auto", "docker", "local", "kubernetes"] = "auto"
    image: Image | None = Field(
        default=None, description="else the program's own of `squire agents build`, or squire-worker:latest"
    )
    limits: LimitSettings = LimitSettings()
    max_task_limits: TaskLimits = Field(default=TaskLimits(), description="what a task may ask for; else limits")
    oom_retry_memory: Bytes | None = Field(default=None, description="of one more try after out_of_memory")
    runtime: EngineName | None = Field(default=None, description="OCI runtime, e.g. runsc; else the engine's")
    seccomp: SeccompProfile | None = Field(default=None, description="a profile instead of the shipped one")
    warm_pool: WarmPoolSettings = WarmPoolSettings()
    worker_labels: WorkerLabels = Field(default=(), description="of the workers that may run it; see workers")
    log_overflow: Literal["end", "truncate"] = Field(default="end", description="the attempt ends, or its log is cut")
    log_retention_days: float = Field(default=7, gt=0, le=3650, description="of an ended attempt's folder")
    keep_failed_containers: bool = Field(default=False, description="for debugging, until log_retention_days")
    slow_start_s: Seconds = Field(default=10, description="a start that takes longer is logged with its slowest part")
    linger_s: Seconds = Field(default=20, ge=1, description="a program that stays so long after its last word is ended")
    engine_patience_s: Seconds = Field(default=60, description="how long the engine may be away during a run")
    min_free_disk: Bytes = Field(default=2**30, description="on the engine's disk, for anything to be dispatched")

    @property
    def worker_image(self) -> str:
        """The image that its containers are made of."""
        return self.image or image_of(self.kind)

    @model_validator(mode="after")
    def _fit_a_pod(self) -> Self:
        wishes = {
            "runtime": (self.runtime is not None, "set kubernetes.runtime_class"),
            "seccomp": (self.seccomp is not None, "nodes use their runtime's default profile"),
            "caches": (bool(self.caches), "a pod has no folder of a machine"),
            "warm_pool.size": (self.warm_pool.size > 0, "pods are made when they are needed"),
            "keep_failed_containers": (self.keep_failed_containers, "pods are removed with their Jobs"),
        }
        for name, (is_set, reason) in wishes.items():
            if self.runner == "kubernetes" and is_set:
                raise ValueError(f'runner = "kubernetes" has no {name}: {reason}')
        return self

    @model_validator(mode="after")
    def _more_memory(self) -> Self:
        if self.oom_retry_memory is not None and self.oom_retry_memory <= self.limits.memory:
            raise ValueError(
                f"oom_retry_memory = {self.oom_retry_memory} bytes is not more than limits.memory = "
                f"{self.limits.memory}; raise it, or leave it out for no such try"
            )
        return self
