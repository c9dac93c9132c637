"""GitHub's GraphQL objects as frozen models: only the fields that we read, and tolerant of all others.

What they mean for Squire is decided in `signals` and `lookup`.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from squire_pipelines.errors import GitHubUnavailableError

_ItemT = TypeVar("_ItemT")
_ModelT = TypeVar("_ModelT", bound=BaseModel)


def clean_text(value: object) -> object:
    """Text that every store takes: without NUL and without halves of surrogate pairs; None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return value


Text = Annotated[str, BeforeValidator(clean_text)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Actor(_Model):
    """Who did something."""

    login: Text
    typename: str = Field(default="User", alias="__typename")


class PageInfo(_Model):
    """Whether a connection goes on, and from where."""

    has_next_page: bool
    end_cursor: str | None = None


class Nodes(_Model, Generic[_ItemT]):
    """A connection's items. GitHub leaves None where the token may not see one."""

    items: tuple[_ItemT | None, ...] = Field(default=(), alias="nodes")

    @property
    def nodes(self) -> tuple[_ItemT, ...]:
        """The items that were given."""
        return tuple(item for item in self.items if item is not None)


class Page(Nodes[_ItemT], Generic[_ItemT]):
    """One page of a connection."""

    page_info: PageInfo


class Label(_Model):
    """A label."""

    name: Text


class _WorkflowName(_Model):
    name: Text


class _WorkflowRun(_Model):
    workflow: _WorkflowName | None = None


class _CheckSuite(_Model):
    workflow_run: _WorkflowRun | None = None


class CheckRun(_Model):
    """A check of an app, such as a job of a workflow."""

    typename: Literal["CheckRun"] = Field(alias="__typename")
    name: Text
    conclusion: str | None = None
    details_url: str | None = None
    title: Text = ""
    summary: Text = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    check_suite: _CheckSuite | None = None

    @property
    def workflow(self) -> str | None:
        """The name of the workflow that it is a job of."""
        run = self.check_suite.workflow_run if self.check_suite else None
        return run.workflow.name if run and run.workflow else None


class StatusContext(_Model):
    """A commit status, as older integrations set it."""

    typename: Literal["StatusContext"] = Field(alias="__typename")
    context: Text
    state: str
    description: Text = ""
    target_url: str | None = None
    created_at: datetime | None = None


Check = Annotated[CheckRun | StatusContext, Field(discriminator="typename")]


class Rollup(_Model):
    """All checks of a commit, and what they say together."""

    state: str
    contexts: Page[Check] | None = None


class Commit(_Model):
    """A commit with its checks. An object that is no commit (a tag's) has no `oid` here."""

    oid: str = ""
    committed_date: datetime | None = None
    status_check_rollup: Rollup | None = None


class _CommitNode(_Model):
    commit: Commit


class ReviewComment(_Model):
    """The first comment of a thread."""

    body: Text
    url: str
    updated_at: datetime
    author: Actor | None = None


class ReviewThread(_Model):
    """A reviewer's remark with its answers."""

    id: str
    is_resolved: bool
    is_outdated: bool
    path: Text
    line: int | None = None
    comments: Nodes[ReviewComment]


class PullRequest(_Model):
    """An open pull request with its head's checks and its review threads."""

    number: int
    title: Text
    body: Text
    url: str
    is_draft: bool
    updated_at: datetime
    author: Actor | None = None
    head_ref_name: Text
    head_ref_oid: str
    base_ref_name: Text
    is_cross_repository: bool
    labels: Nodes[Label] | None = None
    commits: Nodes[_CommitNode] | None = None
    # None when this part could not be read; the answer's error says why.
    review_threads: Page[ReviewThread] | None = None

    @property
    def head(self) -> Commit | None:
        """The newest commit."""
        return self.commits.nodes[-1].commit if self.commits and self.commits.nodes else None

    def with_head(self, head: Commit) -> "PullRequest":
        """The same with another reading of its newest commit."""
        return self.model_copy(update={"commits": Nodes(nodes=(_CommitNode(commit=head),))})


class _Count(_Model):
    total_count: int


class Issue(_Model):
    """An open issue."""

    number: int
    title: Text
    body: Text
    url: str
    updated_at: datetime
    author: Actor | None = None
    author_association: str = "NONE"
    labels: Nodes[Label] | None = None
    comments: _Count


class DefaultBranch(_Model):
    """The default branch and its head."""

    name: Text
    target: Commit | None = None


class RepositoryAnswer(_Model):
    """`repository` of any of our queries: only the fields that the query asks for are set."""

    name_with_owner: str = ""
    url: str = ""
    is_archived: bool = False
    is_disabled: bool = False
    is_empty: bool = False
    is_private: bool = False
    viewer_permission: str | None = None
    default_branch_ref: DefaultBranch | None = None
    pull_requests: Page[PullRequest] | None = None
    pull_request: dict[str, Any] | None = None
    issues: Page[Issue] | None = None


class ReportedPullRequest(_Model):
    """A pull request in any state, as it is followed."""

    number: int
    url: str
    state: Literal["OPEN", "CLOSED", "MERGED"]
    head_ref_name: Text
    head_ref_oid: str
    updated_at: datetime
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    commits: Nodes[_CommitNode] | None = None


class PullRequestPart(_Model):
    """A further page of a pull request's checks or threads."""

    commits: Nodes[_CommitNode] | None = None
    review_threads: Page[ReviewThread] | None = None


def parse(model: type[_ModelT], data: object, *, what: str) -> _ModelT:
    """`data` as `model`. Raises GitHubUnavailableError that names the field when it has another shape."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = f"the answer to {what} is not what GitHub's API sends: {where}: {first['msg']}"
        hint = "check `github.api_url`, and whether a proxy answers in GitHub's place"
        raise GitHubUnavailableError(message, hint=hint, context={"request": what, "field": where}) from error
