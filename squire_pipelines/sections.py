"""The sections of the settings: each key with its default and its bounds. Reading them is `settings`.

A line of `[section]` in `config.toml` is a field here; the environment names it `SQUIRE_<SECTION>__<FIELD>`.
"""

from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from squire_pipelines.agent_names import image_of
from squire_pipelines.agent_names import known as known_agent
from squire_pipelines.agent_sections import MAX_RULES, AgentName, ChooseRules
from squire_pipelines.domain.change import DEFAULT_BINARY
from squire_pipelines.domain.container_limits import MIN_CPUS, MIN_MEMORY, Bytes, TaskLimits
from squire_pipelines.domain.protected import DEFAULT_PROTECTED
from squire_pipelines.observability.logging import Level
from squire_pipelines.publishing_types import BodyTemplate, CommitTemplate, Labels, Reviewers, TitleTemplate
from squire_pipelines.setting_types import (
    AppId,
    BaseUrl,
    CacheSource,
    Command,
    Count,
    Cron,
    Email,
    EngineName,
    GitName,
    Glob,
    Image,
    Label,
    ListenHost,
    Name,
    ProviderChoices,
    SeccompProfile,
    Seconds,
    SecondsOrNone,
    SecretUrl,
    SettingsSection,
    ShellLine,
    Skills,
)


class GitHubSettings(SettingsSection):
    """Where GitHub is. For GitHub Enterprise Server: `https://HOST/api/v3`."""

    api_url: BaseUrl = "https://api.github.com"
    timeout_s: Seconds = 30
    max_concurrent_requests: int = Field(default=20, ge=1, le=100)
    max_kept_answers: int = Field(default=2000, ge=100, le=100_000, description="of REST, with their ETags")
    bot_name: GitName | None = Field(default=None, description="author of the commits; else who the token is at GitHub")
    bot_email: Email | None = Field(default=None, description="likewise; else GitHub's address of that account")
    min_write_interval_s: SecondsOrNone = 1.0
    app_id: AppId | None = Field(default=None, description="of a GitHub App; its key is the secret github-app-key")
    app_slug: AppId | None = Field(default=None, description="the App's name in the addresses of its pages")

    @property
    def noreply_domain(self) -> str:
        """The domain of the addresses by which GitHub knows whose a commit is, without anybody's own address."""
        return f"users.noreply.{(urlsplit(self.api_url).hostname or '').removeprefix('api.')}"

    @property
    def graphql_url(self) -> str:
        """The GraphQL endpoint that belongs to `api_url`."""
        return self.api_url.removesuffix("/").removesuffix("/v3") + "/graphql"


class LoggingSettings(SettingsSection):
    """What is logged. The option `--log-level` of the command wins."""

    level: Level = Field(default="info", description="debug, info, warning or error; of libraries, warnings and above")


class PlannerSettings(SettingsSection):
    """Turning signals into tasks. `auto` is `llm` when a model is set, else `rules`."""

    kind: Literal["auto", "rules", "llm"] = "auto"
    model: Name | None = None
    provider: ProviderChoices | None = Field(
        default=None, description="of the model, a table [providers.NAME]; or several, in order or by weight"
    )
    base_url: BaseUrl | None = None
    timeout_s: Seconds = Field(default=120, description="of one plan, at each provider that is asked")
    max_retries: int = Field(default=3, ge=0, le=10)
    max_tasks: int = Field(default=20, ge=1, le=200, description="per plan")
    max_tasks_per_fact: int = Field(default=1, ge=1, le=10, description="whatever became of them")
    issue_labels: tuple[Label, ...] = ("squire",)
    approve: Literal["auto", "manual"] = "auto"
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    max_risk: Literal["low", "medium", "high"] = "medium"
    goals: str = Field(default="", max_length=20_000)

    @model_validator(mode="after")
    def _needs_a_model(self) -> Self:
        if self.kind == "llm" and self.model is None:
            raise ValueError('kind = "llm" needs a model: set planner.model, or kind = "auto"')
        is_asked = self.kind != "rules" and self.model is not None
        has_place = self.base_url is not None or self.provider is not None
        if is_asked and not has_place and ":" not in (self.model or "").strip(":"):
            raise ValueError(
                f"model = {self.model!r} is no provider:model: set planner.provider or planner.base_url, or name the "
                "provider"
            )
        return self


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
    runner: Literal["auto", "docker", "local"] = "auto"
    image: Image | None = Field(
        default=None, description="else the program's own of `squire agents build`, or squire-worker:latest"
    )
    limits: LimitSettings = LimitSettings()
    max_task_limits: TaskLimits = Field(default=TaskLimits(), description="what a task may ask for; else limits")
    oom_retry_memory: Bytes | None = Field(default=None, description="of one more try after out_of_memory")
    runtime: EngineName | None = Field(default=None, description="OCI runtime, e.g. runsc; else the engine's")
    seccomp: SeccompProfile | None = Field(default=None, description="a profile instead of the shipped one")
    warm_pool: WarmPoolSettings = WarmPoolSettings()
    log_overflow: Literal["end", "truncate"] = Field(default="end", description="the attempt ends, or its log is cut")
    log_retention_days: float = Field(default=7, gt=0, le=3650, description="of an ended attempt's folder")
    keep_failed_containers: bool = Field(default=False, description="for debugging, until log_retention_days")
    slow_start_s: Seconds = Field(default=10, description="a start that takes longer is logged with its slowest part")
    engine_patience_s: Seconds = Field(default=60, description="how long the engine may be away during a run")
    min_free_disk: Bytes = Field(default=2**30, description="on the engine's disk, for anything to be dispatched")

    @property
    def worker_image(self) -> str:
        """The image that its containers are made of."""
        return self.image or image_of(self.kind)

    @model_validator(mode="after")
    def _more_memory(self) -> Self:
        if self.oom_retry_memory is not None and self.oom_retry_memory <= self.limits.memory:
            raise ValueError(
                f"oom_retry_memory = {self.oom_retry_memory} bytes is not more than limits.memory = "
                f"{self.limits.memory}; raise it, or leave it out for no such try"
            )
        return self


class DispatchSettings(SettingsSection):
    """How many attempts run at once, and how they are tried again."""

    max_concurrent: int = Field(default=5, ge=1, le=1000)
    max_per_repository: int = Field(default=1, ge=1, le=100)
    max_attempts: int = Field(default=3, ge=1, le=10)
    retry_base_s: Seconds = 30
    retry_cap_s: Seconds = 900
    claim_deadline_s: Seconds = Field(default=120, ge=1)
    lease_s: Seconds = Field(default=60, ge=1, description="prolonged every third of it")
    wait_s: float = Field(default=3, ge=0, le=30, description="how long a tick waits for a task to become ready")


class PolicySettings(SettingsSection):
    """What an agent's change may be. `protected` and `workflows`: what becomes of such a path, see the guide."""

    allowed_paths: tuple[Glob, ...] = Field(default=(), description="globs; none means all")
    protected_paths: tuple[Glob, ...] = DEFAULT_PROTECTED
    protected: Literal["reject", "approve"] = Field(default="reject", description="when the task did not ask for it")
    workflows: Literal["reject", "approve"] = Field(default="reject", description="when the task asked for it")
    max_files: Count = Field(default=100, ge=1)
    max_changed_lines: Count = Field(default=500, ge=1)
    max_bytes: Bytes = 4 * 2**20
    max_file_bytes: Bytes = 2 * 2**20
    max_binary_bytes: Bytes = 512 * 2**10
    binary_paths: tuple[Glob, ...] = Field(default=DEFAULT_BINARY, description="globs of files that may be no text")


class PublishingSettings(SettingsSection):
    """Pull requests, and the bounds on what an agent's bundle may be and on the git that looks at it."""

    draft: Literal["always", "untrusted", "never"] = "untrusted"
    label: Label = "squire:needs-approval"
    labels: Labels = Field(default=(), description="of each pull request")
    reviewers: Reviewers = Field(default=(), description="asked for a review: logins, or owner/team")
    title_convention: Literal["plain", "conventional"] | None = Field(
        default=None, description="conventional: fix: and the like before the title; plain when not set"
    )
    title_template: TitleTemplate | None = Field(default=None, description="of titles, with {title}")
    body_template: BodyTemplate | None = Field(default=None, description="of texts, with {body}")
    commit_template: CommitTemplate | None = Field(default=None, description="of commits' first lines, with {title}")
    max_bundle: Bytes = 100 * 2**20
    max_objects: Count = Field(default=100_000, ge=10)
    max_object: Bytes = 100 * 2**20
    max_unpacked: Bytes = 1024 * 2**20
    max_commits: int = Field(default=100, ge=1, le=10_000)
    max_patch: Bytes = 64 * 2**20
    max_lines: Count = Field(default=200_000, ge=1, description="added lines in the text of the difference")
    git_timeout_s: Seconds = 120
    git_memory: Annotated[Bytes, Field(ge=256 * 2**20)] = 2 * 2**30
    judge_timeout_s: Seconds = Field(default=120, description="for each of the two children that judge a bundle")
    judge_cpu_s: Seconds = Field(default=20, description="of processor, likewise")
    judge_memory: Annotated[Bytes, Field(ge=512 * 2**20)] = 2**30


class VerificationSettings(SettingsSection):
    """Squire's own run of the repository's checks, on the committed tree, before a pull request is opened.

    Each command is a line for the shell in the clone. `setup` puts dependencies in place: it may reach the registries
    of `egress`, the checks reach nothing. What it made on a commit is kept for changes that leave the `lockfiles` as
    they are there. A change of them needs a set-up of its own, which reads no registry unless `changed_setup_egress`.
    """

    enabled: bool = True
    setup: ShellLine | None = None
    tests: ShellLine | None = None
    lint: ShellLine | None = None
    build: ShellLine | None = None
    egress: tuple[Name, ...] = Field(default=(), description="names of gateway registries that setup may read")
    changed_setup_egress: bool = Field(
        default=False, description="setup may read registries also on a tree whose lockfiles the change touches"
    )
    lockfiles: tuple[Glob, ...] = (
        "**/package-lock.json",
        "**/pnpm-lock.yaml",
        "**/yarn.lock",
        "**/uv.lock",
        "**/poetry.lock",
        "**/requirements*.txt",
        "**/requirements*.lock",
        "**/pyproject.toml",
        "**/package.json",
        "**/Cargo.lock",
        "**/go.sum",
    )
    timeout_s: Seconds = Field(default=900, description="for each check")
    setup_timeout_s: Seconds = 900
    max_setup: Bytes = Field(default=512 * 2**20, description="dependencies that are kept, each set of them")
    kept_setups: int = Field(default=20, ge=0, le=1000)


class WebhookSettings(SettingsSection):
    """The receiver of deliveries."""

    host: ListenHost = "127.0.0.1"
    port: int = Field(default=8471, ge=0, le=65535)
    public_url: BaseUrl | None = Field(default=None, description="where GitHub reaches the receiver, for a new App")
    max_body: Bytes = 25 * 2**20
    connections_per_address: int = Field(
        default=256, ge=1, le=1024, description="open at once; behind a proxy all have the proxy's address"
    )


class WarehouseSettings(SettingsSection):
    """Publication of the DuckDB file."""

    min_interval_s: SecondsOrNone = 5
    write_rate: Bytes = Field(default=32 * 2**20, description="bytes a second, on average: a large file waits longer")
    memory_limit: Bytes = 512 * 2**20
    overlap_s: float = Field(default=300, ge=0, le=86400, description="what a late transaction may take to be noticed")
    sla_agent_s: Seconds = Field(default=120, description="from ready to the agent's start")
    sla_pull_request_s: Seconds = Field(default=3600, description="from ready to the pull request")
    sla_share: float = Field(default=0.95, gt=0, le=1, description="of the tasks that are to keep the two")


class RetentionSettings(SettingsSection):
    """How many days rows stay in the ledger before they go to the archive.

    GitHub redelivers for three days, and a redelivery is known by what we have; budgets are summed up by month.
    """

    schedule: Cron = "17 3 * * *"
    tasks_days: float = Field(default=7, gt=0, le=3650, description="after the end, with all that belongs to them")
    deliveries_days: float = Field(default=7, ge=4, le=3650)
    collections_days: float = Field(default=7, gt=0, le=3650, description="but for the newest of each source")
    signals_days: float = Field(default=30, gt=0, le=3650, description="after they were gone")
    plans_days: float = Field(default=30, gt=0, le=3650, description="when no task of theirs is left")
    model_calls_days: float = Field(default=30, gt=0, le=3650, description="of planners; others go with their task")
    budgets_days: float = Field(default=62, ge=32, le=3650)
    audit_days: float = Field(default=365, ge=1, le=3650, description="after they were sealed; their digests stay")
    max_rows_per_run: int = Field(default=100_000, ge=1000, le=10_000_000, description="of each table")


class StepLimitSettings(SettingsSection):
    """What one step container of our own code may use (`pipeline.executor = "docker"`)."""

    cpus: float = Field(default=1, ge=MIN_CPUS, le=256)
    memory: Annotated[Bytes, Field(ge=256 * 2**20)] = 2 * 2**30
    pids: int = Field(default=256, ge=32, le=32768)


class PipelineSettings(SettingsSection):
    """How Dagster runs our own code. `auto` is `docker` when SQUIRE_HOME, an engine and the image are there."""

    executor: Literal["auto", "in_process", "docker"] = "in_process"
    image: Image = "squire-pipeline:latest"
    network: EngineName = Field(
        default="bridge", description="of step containers, by which they reach GitHub and the ledger"
    )
    step_limits: StepLimitSettings = StepLimitSettings()
    outcome_poll_s: Seconds = 60
    redelivery_s: Seconds = 60
    webserver_port: int = Field(default=3000, ge=1, le=65535)


class AlertSettings(SettingsSection):
    """Who is told when a budget is nearly or wholly used up. Once for each budget and period."""

    webhook_url: SecretUrl | None = Field(default=None, description="gets a JSON object by POST")
    budget_share: float = Field(default=0.8, gt=0, le=1, description="of a budget, from which on it is a warning")


class RepositoryOverrides(SettingsSection):
    """Settings of one repository that differ; what is not named is taken from the general sections."""

    ci: dict[str, Any] = Field(default_factory=dict)
    trust: dict[str, Any] = Field(default_factory=dict)
    filters: dict[str, Any] = Field(default_factory=dict)
    agent: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    verification: dict[str, Any] = Field(default_factory=dict)
    gateway: dict[str, Any] = Field(default_factory=dict)
    budgets: dict[str, Any] = Field(default_factory=dict)
    issue_labels: tuple[Label, ...] | None = None

    @field_validator("budgets")
    @classmethod
    def _are_for_one(cls, budgets: dict[str, Any]) -> dict[str, Any]:
        for name in ("day", "month"):
            if name in budgets:
                raise ValueError(
                    f"{name} is for all repositories together: set it in [budgets.{name}]; `repository` limits one, by "
                    "the month"
                )
        return budgets
