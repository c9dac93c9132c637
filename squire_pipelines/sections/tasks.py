"""The sections of the settings about tasks: which start, what they may change, how they are checked and published."""

from typing import Annotated, Literal

from pydantic import Field

from squire_pipelines.domain.branches import OWN_BRANCHES
from squire_pipelines.domain.breakers import Breaker
from squire_pipelines.domain.change import DEFAULT_BINARY
from squire_pipelines.domain.container_limits import Bytes
from squire_pipelines.domain.protected import DEFAULT_PROTECTED
from squire_pipelines.domain.queue_rules import PullRequestCaps, QueueRules
from squire_pipelines.domain.verification import CHECK_KINDS, CheckKind
from squire_pipelines.sections.texts import BodyTemplate, BranchPrefix, CommitTemplate, Labels, Reviewers, TitleTemplate
from squire_pipelines.sections.types import Count, Glob, Label, Name, Seconds, SettingsSection, ShellLine


class DispatchSettings(SettingsSection):
    """How many attempts run at once, and how they are tried again."""

    max_concurrent: int = Field(default=5, ge=1, le=1000)
    max_per_repository: int = Field(default=1, ge=1, le=100)
    max_attempts: int = Field(default=3, ge=1, le=10)
    max_attempts_of_task: int = Field(default=10, ge=1, le=1000, description="in all, whoever has it tried again")
    max_attempts_of_issue: int = Field(
        default=30, ge=1, le=10_000, description="at all tasks of one issue or pull request, follow-ups too"
    )
    max_attempts_per_day: int = Field(default=500, ge=1, le=100_000, description="of all repositories, in UTC")
    max_open_pull_requests: int = Field(default=10, ge=1, le=1000, description="of Squire's, of one repository")
    max_new_pull_requests_per_hour: int = Field(default=2, ge=1, le=1000, description="likewise")
    tenants_need_budgets: bool = Field(
        default=False, description="whether the work of a tenant without a budget for a day or a month waits for one"
    )
    max_schedules: int = Field(default=50, ge=1, le=1000, description="active and paused ones of one repository")
    dependencies: Literal["success", "merge"] = Field(
        default="success", description="merge: a task waits until the pull request of what it depends on is merged"
    )
    priority_step_s: Seconds = Field(
        default=21_600, ge=1, description="a ready task counts one priority higher for each time it waited so long"
    )
    retry_base_s: Seconds = 30
    retry_cap_s: Seconds = 900
    by_load: bool = Field(
        default=True,
        description="fewer attempts wait for their run while processors are busy; off where runs start elsewhere",
    )
    claim_deadline_s: Seconds = Field(
        default=120, ge=1, description="on a quiet machine; longer while launching takes longer"
    )
    max_claim_deadline_s: Seconds = Field(default=1800, ge=1, description="however busy the machine is")
    lease_s: Seconds = Field(default=60, ge=1, description="prolonged every third of it")
    wait_s: float = Field(
        default=3, ge=0, le=30, description="how long a tick waits for a task to become ready, or for a reading to end"
    )

    @property
    def queue_rules(self) -> QueueRules:
        """What a ready task waits for besides its turn."""
        caps = PullRequestCaps(self.max_open_pull_requests, self.max_new_pull_requests_per_hour)
        return QueueRules(caps, wait_for_merge=self.dependencies == "merge", breaker=self.breaker)

    @property
    def breaker(self) -> Breaker:
        """After how many attempts work stops."""
        return Breaker(self.max_attempts_of_task, self.max_attempts_of_issue, self.max_attempts_per_day)


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

    branch_prefix: BranchPrefix = Field(default=OWN_BRANCHES, description="what names of Squire's branches begin with")
    draft: Literal["always", "untrusted", "never"] = "untrusted"
    keep_timed_out: bool = Field(
        default=True, description="what an agent had made at its time limit becomes a draft that says so"
    )
    label: Label = "squire:needs-approval"
    labels: Labels = Field(default=(), description="of each pull request")
    reactions: bool = Field(
        default=True, description="under a comment with a command, and on remarks when work on them begins"
    )
    reviewers: Reviewers = Field(default=(), description="asked for a review: logins, or owner/team")
    title_convention: Literal["plain", "conventional"] | None = Field(
        default=None, description="conventional: fix: and the like before the title; as its history has it when not set"
    )
    title_template: TitleTemplate | None = Field(default=None, description="of titles, with {title}")
    body_template: BodyTemplate | None = Field(default=None, description="of texts, with {body}")
    commit_template: CommitTemplate | None = Field(default=None, description="of commits' first lines, with {title}")
    commits: Literal["git", "api"] = Field(
        default="git", description="api: made by GitHub's API, which signs those of an App"
    )
    sign_off: bool = Field(default=False, description="commits end with Signed-off-by, for the DCO")
    fill_template: bool = Field(default=True, description="the repository's own template of pull requests is filled")
    close_issues: bool = Field(default=True, description="a merge closes the issues that the task resolves")
    milestone: bool = Field(default=True, description="a pull request gets the milestone of the issues that it closes")
    show_order: bool = Field(default=True, description="the agent's whole order in the text, behind a click")
    tries: int = Field(default=5, ge=1, le=20, description="of one publication, when GitHub refuses in passing")
    retry_base_s: Seconds = Field(default=2, description="before the second try; each further wait is twice as long")
    retry_cap_s: Seconds = Field(default=60, description="of such waits, and of GitHub's limits that are waited for")
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
    always: tuple[CheckKind, ...] = Field(
        default=CHECK_KINDS,
        description="kinds that run for every task that does not leave them out; others run where a task asks",
    )
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
