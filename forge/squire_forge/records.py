"""The rows of the forge's database as frozen values. `store` reads and writes them."""

from dataclasses import dataclass
from typing import Literal

AccountKind = Literal["User", "Bot", "Organization"]


@dataclass(frozen=True, slots=True)
class Account:
    """A person, a bot or an organization; `login` is without the `[bot]` that REST appends."""

    id: int
    login: str
    kind: AccountKind
    created_at: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A hosted repository; its bare git repository lies beside the database."""

    id: int
    owner: Account
    name: str
    description: str | None
    default_branch: str
    private: bool
    archived: bool
    created_at: str
    updated_at: str
    pushed_at: str

    @property
    def full_name(self) -> str:
        """The repository's name with its owner, `owner/name`."""
        return f"{self.owner.login}/{self.name}"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The part that issues and pull requests have in common."""

    id: int
    repository: Repository
    number: int
    title: str
    body: str
    state: str
    author: Account
    association: str
    created_at: str
    updated_at: str
    closed_at: str | None


@dataclass(frozen=True, slots=True)
class Pull(Ticket):
    """A pull request. `base_sha` is the base branch's tip when the head last changed.

    `fork` is the repository that the head is in, `owner/name`; None for the pull request's own.
    """

    head_ref: str
    head_sha: str
    fork: str | None
    base_ref: str
    base_sha: str
    draft: bool
    candidate_sha: str | None
    candidate_by: int | None
    merged_at: str | None
    merge_sha: str | None
    merged_by: int | None

    @property
    def merged(self) -> bool:
        """Whether its commits are in the base branch."""
        return self.merged_at is not None


@dataclass(frozen=True, slots=True)
class MergeWish:
    """A request to merge an open pull request once that may be: `auto` by itself, `queue` in its turn."""

    id: int
    kind: str
    method: str
    by: Account
    created_at: str


@dataclass(frozen=True, slots=True)
class MergeWishEnd:
    """The end of such a request before the merge."""

    id: int
    kind: str
    actor: Account
    reason: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Label:
    """A label of one repository; `color` is six hexadecimal digits."""

    id: int
    name: str
    color: str


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A label that was added to a ticket, or removed from it."""

    id: int
    actor: Account
    label: Label
    removed: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class TicketEdit:
    """A version of a ticket's text (`body`), or a change of its title (`title`)."""

    id: int
    editor: Account
    body: str | None
    title: str | None
    previous_title: str | None
    edited_at: str

    @property
    def created_at(self) -> str:
        """The time of the change, by the name that events have for it."""
        return self.edited_at


@dataclass(frozen=True, slots=True)
class Closing:
    """A close of a ticket: by an account, or through a pull request (its number) or a commit of its."""

    id: int
    ticket: Ticket
    actor: Account
    by_pull: int | None
    by_commit: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class BranchDeletion:
    """The deletion of a pull request's branch."""

    id: int
    actor: Account
    created_at: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment below an issue or a pull request."""

    id: int
    ticket: Ticket
    author: Account
    body: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Thread:
    """A review thread on a line of a pull request's file."""

    id: int
    pull: Pull
    path: str
    line: int | None
    commit_sha: str
    resolved: bool
    outdated: bool


@dataclass(frozen=True, slots=True)
class ThreadComment:
    """A comment in a review thread; `editor` edited it last."""

    id: int
    thread: Thread
    author: Account
    body: str
    commit_sha: str
    created_at: str
    updated_at: str
    editor: Account | None = None
    edited_at: str | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """A submitted review: APPROVED, CHANGES_REQUESTED, COMMENTED or DISMISSED."""

    id: int
    pull: Pull
    author: Account
    state: str
    body: str
    commit_sha: str
    submitted_at: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a check expects of one file; `message` is the check's text when the file differs.

    One that is `flaky` fails only in the first run on a commit.
    """

    check_name: str
    path: str
    pattern: str
    must_match: bool
    message: str
    flaky: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """All checks of one commit; `conclusion` in REST's lower case. `app` is the slug of an App, None for CI's."""

    id: int
    repository: Repository
    sha: str
    branch: str
    conclusion: str
    created_at: str
    app: str | None = None


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check of one commit, completed. Of the stand-in for CI, or of an App, which its suite names."""

    id: int
    suite: Suite
    name: str
    conclusion: str
    title: str
    summary: str
    text: str
    started_at: str
    completed_at: str
    external_id: str = ""
    details_url: str | None = None


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """A status that another service set on a commit; `state` in REST's lower case."""

    id: int
    repository: Repository
    sha: str
    context: str
    state: str
    description: str | None
    created_at: str
    target_url: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver a webhook; `delivered_at` is None until it was made."""

    id: int
    guid: str
    repository_id: int
    event: str
    action: str | None
    body: bytes
    redelivery: bool
    created_at: str
    delivered_at: str | None
    duration: float | None
    status: str
    status_code: int | None
    response: str | None
