"""The keys that a repository's own file may have: those by which it can ask for less than the operator permits.

Each has the name of the operator's setting that it tightens; what that means is in `tightening`. Nothing is set
without the file.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.domain.presets import Preset
from squire_pipelines.sections.texts import BodyTemplate, CommitTemplate, Labels, Reviewers, TitleTemplate
from squire_pipelines.sections.types import (
    CheckPattern,
    Count,
    Glob,
    Label,
    Name,
    QuietSpan,
    Seconds,
    SettingsSection,
    ShellLine,
    TimeZone,
)

MAX_NAMES = 50
"""In each list."""

MAX_COMMAND = 1000
_Command = Annotated[ShellLine, Field(max_length=MAX_COMMAND)]
_Path = Annotated[Glob, Field(max_length=300)]
MAX_PRESETS = 10


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Presets = Annotated[tuple[Preset, ...], Field(max_length=MAX_PRESETS), BeforeValidator(_as_list)]


class RepositoryCi(SettingsSection):
    """Which failed checks are no work."""

    ignore: Annotated[tuple[CheckPattern, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="further checks, with * and ?"
    )


class RepositoryFilters(SettingsSection):
    """Which signals are not for Squire."""

    ignore_labels: Annotated[tuple[Label, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="nothing with one of these, further ones"
    )
    ignore_authors: Annotated[tuple[Name, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="nothing of these, further ones"
    )
    drafts: Literal[False] | None = Field(default=None, description="false: no remarks on drafts")


class RepositoryTrust(SettingsSection):
    """Who may start work."""

    min_permission: Literal["triage", "write", "maintain", "admin"] | None = Field(
        default=None, description="the higher one counts"
    )


class RepositoryPlanner(SettingsSection):
    """What becomes a task by itself."""

    approve: Literal["manual"] | None = Field(default=None, description="manual: each task waits for a person")
    min_confidence: float | None = Field(default=None, ge=0, le=1, description="the higher one counts")
    max_risk: Literal["low", "medium", "high"] | None = Field(default=None, description="the lower one counts")
    max_tasks: int | None = Field(default=None, ge=1, le=200, description="per plan; the lower one counts")
    max_task_files: int | None = Field(default=None, ge=1, le=10_000, description="the lower one counts")
    max_task_lines: int | None = Field(default=None, ge=1, le=1_000_000, description="the lower one counts")


class RepositoryDispatch(SettingsSection):
    """How much runs at once, and how often something is tried."""

    max_per_repository: int | None = Field(default=None, ge=1, le=100, description="the lower one counts")
    max_attempts: int | None = Field(default=None, ge=1, le=10, description="the lower one counts")
    max_open_pull_requests: int | None = Field(default=None, ge=1, le=1000, description="the lower one counts")
    max_new_pull_requests_per_hour: int | None = Field(default=None, ge=1, le=1000, description="the lower one counts")
    dependencies: Literal["merge"] | None = Field(
        default=None, description="merge: a task waits until the pull request of what it depends on is merged"
    )


class RepositoryLimit(SettingsSection):
    """What a scope may use; the lower limit counts."""

    usd: float | None = Field(default=None, gt=0, le=1_000_000)
    tokens: int | None = Field(default=None, gt=0, le=2_000_000_000)


class RepositoryBudgets(SettingsSection):
    """What work may cost."""

    attempt: RepositoryLimit = RepositoryLimit()
    plan: RepositoryLimit = RepositoryLimit()
    task: RepositoryLimit = RepositoryLimit()
    repository: RepositoryLimit = RepositoryLimit()


class RepositoryPolicy(SettingsSection):
    """What an agent's change may be; of two sizes the lower one counts."""

    protected_paths: Annotated[tuple[_Path, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="further ones"
    )
    protected: Literal["reject"] | None = None
    workflows: Literal["reject"] | None = None
    max_files: Count | None = Field(default=None, ge=1)
    max_changed_lines: Count | None = Field(default=None, ge=1)
    max_bytes: Bytes | None = None
    max_file_bytes: Bytes | None = None
    max_binary_bytes: Bytes | None = None


class RepositoryVerification(SettingsSection):
    """Further commands for the shell, each after the operator's of the same name, in the container of the checks."""

    setup: _Command | None = None
    tests: _Command | None = None
    lint: _Command | None = None
    build: _Command | None = None
    timeout_s: Seconds | None = Field(default=None, description="for each check; the lower one counts")


class RepositoryPublishing(SettingsSection):
    """How pull requests look. Conventions and templates count where the operator has set none."""

    draft: Literal["always", "untrusted"] | None = Field(default=None, description="the stricter one counts")
    labels: Labels = Field(default=(), description="of each pull request, further ones")
    reviewers: Reviewers = Field(default=(), description="further ones: logins, or owner/team")
    title_convention: Literal["plain", "conventional"] | None = None
    title_template: TitleTemplate | None = None
    body_template: BodyTemplate | None = None
    commit_template: CommitTemplate | None = None


class RepositoryMerge(SettingsSection):
    """When Squire merges its own pull requests, where the operator lets it: what must hold besides the operator's."""

    enabled: Literal[False] | None = Field(default=None, description="false: people merge")
    approvals: int | None = Field(default=None, ge=0, le=10, description="the higher one counts")
    min_confidence: float | None = Field(default=None, ge=0, le=1, description="the higher one counts")
    max_files: int | None = Field(default=None, ge=1, le=250, description="the lower one counts")
    max_lines: int | None = Field(default=None, ge=1, le=100_000, description="the lower one counts")
    allowed_paths: Annotated[tuple[_Path, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="of the operator's, those that are here too; none means those of the operator"
    )
    forbidden_paths: Annotated[tuple[_Path, ...], Field(max_length=MAX_NAMES)] = Field(
        default=(), description="further ones"
    )
    quiet_hours: QuietSpan | None = Field(default=None, description="from-to, besides the operator's")
    timezone: TimeZone = Field(default="UTC", description="of these quiet hours")


class RepositoryFollow(SettingsSection):
    """What Squire does on its own pull requests."""

    merge: RepositoryMerge = RepositoryMerge()


class RepositoryFileSettings(SettingsSection):
    """What `.github/squire.toml` says."""

    extends: _Presets = Field(
        default=(), description="owner/repo//path of a file, or a path in this repository; or a list of these"
    )
    issue_labels: Annotated[tuple[Label, ...], Field(max_length=MAX_NAMES)] | None = Field(
        default=None, description="those of the operator's labels that choose an issue here"
    )
    ci: RepositoryCi = RepositoryCi()
    filters: RepositoryFilters = RepositoryFilters()
    trust: RepositoryTrust = RepositoryTrust()
    planner: RepositoryPlanner = RepositoryPlanner()
    dispatch: RepositoryDispatch = RepositoryDispatch()
    budgets: RepositoryBudgets = RepositoryBudgets()
    policy: RepositoryPolicy = RepositoryPolicy()
    verification: RepositoryVerification = RepositoryVerification()
    publishing: RepositoryPublishing = RepositoryPublishing()
    follow: RepositoryFollow = RepositoryFollow()
