"""GitHub's GraphQL objects as frozen models: only the fields that we read, and tolerant of all others.

What they mean for Squire is decided in `signals` and `lookup`.
"""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from squire_pipelines.github.protocol import unreadable_answer

_ItemT = TypeVar("_ItemT")
_ModelT = TypeVar("_ModelT", bound=BaseModel)


def clean_text(value: object) -> object:
    """Return text that every store takes: without NUL and halves of surrogate pairs; None is the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return value


Text = Annotated[str, BeforeValidator(clean_text)]


class GitHubModel(BaseModel):
    """An object of GitHub's REST API or of a webhook: frozen, and without the fields that we do not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GraphQLModel(GitHubModel):
    """The same of GraphQL, whose names are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Actor(GraphQLModel):
    """Who did something. Without its type nobody knows whether it is a person."""

    login: Text
    typename: str = Field(default="", alias="__typename")


class PageInfo(GraphQLModel):
    """Whether a connection goes on, and from where."""

    has_next_page: bool
    end_cursor: str | None = None
    has_previous_page: bool = False
    start_cursor: str | None = None

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; None when there is none, or GitHub does not say."""
        return self.end_cursor if self.has_next_page else None


def _one_missing(value: object) -> object:
    return (None,) if value is None else value


class Nodes(GraphQLModel, Generic[_ItemT]):
    """A connection's items. GitHub leaves None where the token may not see one, and may send no list at all."""

    items: Annotated[tuple[_ItemT | None, ...], BeforeValidator(_one_missing)] = Field(default=(), alias="nodes")
    page_info: PageInfo | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether an item is not shown, so that what is not here need not be gone."""
        return None in self.items

    @property
    def nodes(self) -> tuple[_ItemT, ...]:
        """The items that were given."""
        return tuple(item for item in self.items if item is not None)


class Page(Nodes[_ItemT], Generic[_ItemT]):
    """One page of a connection."""

    page_info: PageInfo


class Named(GraphQLModel):
    """An object of which we read the name alone: a label, a workflow."""

    name: Text


class _WorkflowRun(GraphQLModel):
    database_id: int | None = None
    event: Text = ""
    workflow: Named | None = None


class _App(GraphQLModel):
    slug: Text = ""


class _CheckSuite(GraphQLModel):
    app: _App | None = None
    workflow_run: _WorkflowRun | None = None


class CheckRun(GraphQLModel):
    """A check of an app, such as a job of a workflow."""

    typename: Literal["CheckRun"] = Field(alias="__typename")
    database_id: int | None = None
    name: Text
    conclusion: str | None = None
    details_url: str | None = None
    title: Text = ""
    summary: Text = ""
    text: Text = ""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    check_suite: _CheckSuite | None = None

    @property
    def workflow(self) -> str | None:
        """The name of the workflow that it is a job of."""
        run = self.check_suite.workflow_run if self.check_suite else None
        return run.workflow.name if run and run.workflow else None

    @property
    def workflow_run_id(self) -> int | None:
        """The id of the run of its workflow."""
        run = self.check_suite.workflow_run if self.check_suite else None
        return run.database_id if run else None

    @property
    def event(self) -> str | None:
        """What started the run of its workflow; empty where GitHub does not say, None of a check that has no workflow.

        https://docs.github.com/actions/reference/events-that-trigger-workflows
        """
        run = self.check_suite.workflow_run if self.check_suite else None
        if run is None:
            return "" if self.app == "github-actions" else None
        return run.event

    @property
    def app(self) -> str:
        """The slug of the App that reports it; empty where GitHub does not say."""
        return self.check_suite.app.slug if self.check_suite and self.check_suite.app else ""


class StatusContext(GraphQLModel):
    """A commit status, as older integrations set it."""

    typename: Literal["StatusContext"] = Field(alias="__typename")
    context: Text
    state: str
    description: Text = ""
    target_url: str | None = None
    created_at: datetime | None = None


Check = Annotated[CheckRun | StatusContext, Field(discriminator="typename")]


class Rollup(GraphQLModel):
    """All checks of a commit, and what they say together."""

    state: str
    contexts: Page[Check] | None = None


class Commit(GraphQLModel):
    """A commit with its checks. An object that is no commit (a tag's) has no `oid` here."""

    oid: str = ""
    committed_date: datetime | None = None
    status_check_rollup: Rollup | None = None

    @property
    def checks(self) -> Page[Check] | None:
        """The first page of its checks, or as many as were read."""
        return self.status_check_rollup.contexts if self.status_check_rollup else None


class _CommitNode(GraphQLModel):
    commit: Commit


class WithHead(GraphQLModel):
    """A pull request whose newest commit was asked for."""

    commits: Nodes[_CommitNode] | None = None

    @property
    def head(self) -> Commit | None:
        """The newest commit."""
        return self.commits.nodes[-1].commit if self.commits and self.commits.nodes else None


class EditedText(GraphQLModel):
    """When a text was written, and by whom it was edited last."""

    created_at: datetime | None = None
    last_edited_at: datetime | None = None
    editor: Actor | None = None


class TimelineEvent(GraphQLModel):
    """A label that was set, or a title that was changed."""

    typename: str = Field(alias="__typename")
    actor: Actor | None = None
    created_at: datetime
    label: Named | None = None
    previous_title: Text = ""


class TextEdit(GraphQLModel):
    """One version of a text: `text` is the whole of it, None when this version was deleted from the history."""

    edited_at: datetime
    editor: Actor | None = None
    text: str | None = Field(default=None, alias="diff")


class ReviewComment(EditedText):
    """A comment of a thread. Each has the same hunk."""

    body: Text
    url: str
    updated_at: datetime
    author: Actor | None = None
    author_association: str = "NONE"
    diff_hunk: Text = ""


class _ReviewComments(Nodes[ReviewComment]):
    total_count: int = 0


class PullRequestComment(EditedText):
    """A comment on a pull request that has no place in its files."""

    id: str
    body: Text
    url: str
    updated_at: datetime
    author: Actor | None = None
    author_association: str = "NONE"
    is_minimized: bool = False


class _ReviewedCommit(GraphQLModel):
    oid: str


class Review(EditedText):
    """A submitted review: its own text, beside its threads."""

    id: str
    state: str
    body: Text
    url: str
    submitted_at: datetime | None = None
    author: Actor | None = None
    author_association: str = "NONE"
    commit: _ReviewedCommit | None = None


class ReviewThread(GraphQLModel):
    """A reviewer's remark with its answers."""

    id: str
    is_resolved: bool
    is_outdated: bool
    path: Text
    line: int | None = None
    start_line: int | None = None
    original_line: int | None = None
    diff_side: str | None = None
    comments: _ReviewComments


class PullRequest(WithHead):
    """An open pull request with its head's checks and its review threads."""

    number: int
    title: Text
    body: Text
    url: str
    is_draft: bool
    updated_at: datetime
    author: Actor | None = None
    author_association: str = "NONE"
    head_ref_name: Text
    head_ref_oid: str
    base_ref_name: Text
    is_cross_repository: bool
    labels: Nodes[Named] | None = None
    # None when this part could not be read; the answer's error says why.
    review_threads: Page[ReviewThread] | None = None
    # Who set its labels; asked for in a query of its own, where it matters.
    timeline_items: Nodes[TimelineEvent] | None = None
    reviews: Nodes[Review] | None = None
    comments: Nodes[PullRequestComment] | None = None

    @property
    def hides_remarks(self) -> bool:
        """Whether a review or a comment that was asked for is not shown, so that what it says need not be gone."""
        asked = {"reviews": self.reviews, "comments": self.comments}
        return any(part is None or part.is_incomplete for name, part in asked.items() if name in self.model_fields_set)

    def with_head(self, head: Commit) -> "PullRequest":
        """Return the same with another reading of its newest commit."""
        return self.model_copy(update={"commits": Nodes(nodes=(_CommitNode(commit=head),))})


class _Count(GraphQLModel):
    total_count: int


class Issue(EditedText):
    """An open issue. `timeline_items` are its newest labels and changes of title, oldest first."""

    number: int
    title: Text
    body: Text
    url: str
    updated_at: datetime
    author: Actor | None = None
    viewer_did_author: bool = False
    author_association: str = "NONE"
    labels: Nodes[Named] | None = None
    comments: _Count
    timeline_items: Nodes[TimelineEvent] | None = None


class DefaultBranch(GraphQLModel):
    """The default branch and its head."""

    name: Text
    target: Commit | None = None


class PullRequestPart(WithHead):
    """A further page of a pull request's checks or remarks, or its newest labels, oldest first."""

    review_threads: Page[ReviewThread] | None = None
    reviews: Nodes[Review] | None = None
    comments: Nodes[PullRequestComment] | None = None
    timeline_items: Nodes[TimelineEvent] | None = None


class IssuePart(GraphQLModel):
    """The versions of an issue's text, and the newest changes of its title."""

    user_content_edits: Page[TextEdit] | None = None
    timeline_items: Nodes[TimelineEvent] | None = None


class RepositoryAnswer(GraphQLModel):
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
    pull_request: PullRequestPart | None = None
    issues: Page[Issue] | None = None
    issue: IssuePart | None = None


def parse(model: type[_ModelT], data: object, *, request: str) -> _ModelT:
    """Return `data` as `model`. Raises GitHubUnavailableError that names the field when it has another shape."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise unreadable_answer(request, f"{field}: {first['msg']}", field=field) from error
