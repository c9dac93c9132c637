"""The sections of the settings about services that Squire asks: GitHub, and the planner's model."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from squire_pipelines.domain.plans import SizeBounds
from squire_pipelines.sections.goals import Goals, PlanGroups
from squire_pipelines.sections.types import (
    AppId,
    BaseUrl,
    Email,
    Folder,
    GitName,
    Label,
    Name,
    ProviderChoices,
    Seconds,
    SecondsOrNone,
    SettingsSection,
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
    def host(self) -> str:
        """The host of the pages that belong to `api_url`."""
        return (urlsplit(self.api_url).hostname or "").removeprefix("api.")

    @property
    def web_url(self) -> str:
        """Where people find the GitHub whose REST is at `api_url`, without a slash at the end.

        `https://api.github.com` and `https://api.TENANT.ghe.com` have it on the host without `api.`, GitHub Enterprise
        Server below `/api/v3`.
        """
        parts = urlsplit(self.api_url.rstrip("/"))
        if parts.path.endswith("/api/v3"):
            return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/api/v3')}"
        return f"{parts.scheme}://{parts.netloc.removeprefix('api.')}"

    @property
    def noreply_domain(self) -> str:
        """The domain of the addresses by which GitHub knows whose a commit is, without anybody's own address."""
        return f"users.noreply.{self.host}"

    @property
    def graphql_url(self) -> str:
        """The GraphQL endpoint that belongs to `api_url`."""
        return self.api_url.removesuffix("/").removesuffix("/v3") + "/graphql"


class PlannerSettings(SettingsSection):
    """Turning signals into tasks. `auto` is `llm` when a model is set, else `rules`."""

    kind: Literal["auto", "rules", "llm"] = "auto"
    model: Name | None = None
    provider: ProviderChoices | None = Field(
        default=None, description="of the model, a table [providers.NAME]; or several, in order or by weight"
    )
    base_url: BaseUrl | None = None
    timeout_s: Seconds = Field(default=120, description="of one plan, at each provider that is asked")
    max_retries: int = Field(default=2, ge=0, le=10, description="how often a wrong answer is sent back to the model")
    retry_base_s: Seconds = Field(default=300, description="until a model that did not answer is asked again")
    retry_cap_s: Seconds = Field(default=21_600, description="at most: each wait is thrice as long as the last")
    context_tokens: int | None = Field(
        default=None, ge=4_000, le=100_000_000, description="read and answered together; else by the model's name"
    )
    context_bytes: int = Field(
        default=24_576,
        ge=0,
        le=24_576,
        description="of the prompt, for what is known of the repository, or of all of a group; 0 reads none",
    )
    context_timeout_s: Seconds = Field(default=120, description="until a plan is made without the repository's code")
    cache_ttl_s: SecondsOrNone = Field(
        default=86_400, description="how long a model's answer holds for the same question"
    )
    cache_entries: int = Field(default=500, ge=1, le=10_000, description="answers that are kept for that")
    max_tasks: int = Field(default=20, ge=1, le=200, description="per plan")
    max_task_files: int = Field(default=5, ge=1, le=10_000, description="by a model's estimate; it splits larger tasks")
    max_task_lines: int = Field(default=500, ge=1, le=1_000_000, description="likewise, added and removed")
    max_tasks_per_fact: int = Field(default=1, ge=1, le=10, description="whatever became of them")
    duplicate_days: float = Field(
        default=30, ge=0, le=3650, description="how long ended tasks are compared with what goals ask for"
    )
    issue_labels: tuple[Label, ...] = ("squire",)
    approve: Literal["auto", "manual"] = "auto"
    announce: bool = Field(
        default=False, description="a task that waits for approval, once on the issue that it answers"
    )
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    max_risk: Literal["low", "medium", "high"] = "medium"
    prompts: Folder | None = Field(default=None, description="a folder with own files of the prompt")
    goals: Goals = Field(default="", description="a text, or files; a path is from the settings' folder")
    group: PlanGroups = Field(default=(), description="repositories with goals together, a table for each group")

    @property
    def task_bounds(self) -> SizeBounds:
        """How large the change of one task may be."""
        return SizeBounds(self.max_task_files, self.max_task_lines)

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
