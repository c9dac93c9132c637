"""The changes that a client may make through REST: open and edit pull requests, label, comment.

Each is one transaction. RefusedError says that it cannot be done now, UnprocessableError that the request is wrong;
both have GitHub's own words.
"""

import sqlite3
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from squire_forge import events, store, store_closings, store_edits, store_labels
from squire_forge.errors import RefusedError
from squire_forge.records import Account, Comment, Pull, Repository, Thread, ThreadComment, Ticket
from squire_forge.world import VIEWER_LOGIN, View

_MAX_BODY = 65_536
_MAX_TITLE = 256


class UnprocessableError(RefusedError):
    """The request was understood and refused (422); `details` are GitHub's `errors`."""

    def __init__(self, *details: dict[str, str]) -> None:
        super().__init__("Validation Failed")
        self.details = list(details)


class RequestBody(BaseModel):
    """What a request may have in its body; other keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class NewPull(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/pulls`."""

    title: str = Field(min_length=1, max_length=_MAX_TITLE)
    head: str = Field(min_length=1)
    base: str = Field(min_length=1)
    body: str | None = Field(default=None, max_length=_MAX_BODY)
    draft: bool = False


class PullEdit(RequestBody):
    """The body of `PATCH /repos/{owner}/{repo}/pulls/{number}`."""

    title: str | None = Field(default=None, min_length=1, max_length=_MAX_TITLE)
    body: str | None = Field(default=None, max_length=_MAX_BODY)
    state: str | None = Field(default=None, pattern="^(open|closed)$")


class MergeRequest(RequestBody):
    """The body of `PUT /repos/{owner}/{repo}/pulls/{number}/merge`."""

    sha: str | None = None
    merge_method: str = Field(default="merge", pattern="^(merge|squash|rebase)$")
    commit_title: str = ""
    commit_message: str = ""


class NewLabels(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/issues/{number}/labels`."""

    labels: tuple[str, ...] = Field(min_length=1, max_length=100, strict=False)


class NewComment(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/issues/{number}/comments`."""

    body: str = Field(min_length=1, max_length=_MAX_BODY)


def viewer(view: View) -> Account:
    """Return the owner of the token. Call it inside a writing transaction only."""
    return store.ensure_account(view.con, VIEWER_LOGIN, "User", view.world.now())


def association(con: sqlite3.Connection, author: Account, repository: Repository) -> str:
    """Return the author's association with the repository, by what the author may do there."""
    if author.id == repository.owner.id:
        return "OWNER"
    if author.kind == "Bot":
        return "NONE"
    if author.login == VIEWER_LOGIN:
        return "COLLABORATOR"
    return "MEMBER" if store_labels.permission(con, repository, author) not in {"read", "none"} else "NONE"


def insert_ticket(
    view: View,
    repository: Repository,
    *,
    title: str,
    body: str,
    author: Account,
    pull: bool,
    made: str | None = None,
) -> int:
    """Insert an issue, or the common part of a pull request, and return its number."""
    number, now = store.next_number(view.con, repository.id), made or view.world.now()
    store.insert(
        view.con,
        "tickets",
        repository_id=repository.id,
        number=number,
        is_pull=pull,
        title=title,
        body=body,
        state="open",
        author_id=author.id,
        association=association(view.con, author, repository),
        created_at=now,
        updated_at=now,
    )
    return number


def create_pull(
    view: View,
    repository: Repository,
    request: NewPull,
    author: Account,
    *,
    made: str | None = None,
    announce: bool = True,
) -> Pull:
    """Open a pull request between two branches of the same repository.

    Raises UnprocessableError if a branch is missing, they do not differ, or there is one already.
    """
    owner, _, branch = request.head.rpartition(":")
    git = view.git(repository)
    tip, base = git.branch(branch), git.branch(request.base)
    if tip is None or (owner and owner.lower() != repository.owner.login.lower()):
        raise UnprocessableError({"resource": "PullRequest", "field": "head", "code": "invalid"})
    if base is None:
        raise UnprocessableError({"resource": "PullRequest", "field": "base", "code": "invalid"})
    for other in store.pulls(view.con, repository, state="open"):
        if (other.head_ref, other.base_ref, other.fork) == (branch, request.base, None):
            text = f"A pull request already exists for {repository.owner.login}:{branch}."
            raise UnprocessableError({"resource": "PullRequest", "code": "custom", "message": text})
    if git.merge_base(base, tip) is None:
        text = f"The {branch} branch has no history in common with {request.base}"
        raise UnprocessableError({"resource": "PullRequest", "code": "custom", "message": text})
    if not git.commits_between(base, tip):
        text = f"No commits between {request.base} and {branch}"
        raise UnprocessableError({"resource": "PullRequest", "code": "custom", "message": text})
    number = insert_ticket(
        view, repository, title=request.title, body=request.body or "", author=author, pull=True, made=made
    )
    pull = insert_pull(
        view,
        repository,
        number,
        head_ref=branch,
        head_sha=tip,
        base_ref=request.base,
        base_sha=base,
        draft=request.draft,
    )
    if announce:
        events.emit_pull(view, "opened", pull, author)
    return pull


def insert_pull(view: View, repository: Repository, number: int, *, head_sha: str, **columns: object) -> Pull:
    """Insert what a pull request has beyond the ticket `number`."""
    ticket_id = view.con.execute(
        "SELECT id FROM tickets WHERE repository_id = ? AND number = ?", (repository.id, number)
    ).fetchone()["id"]
    store.insert(view.con, "pulls", ticket_id=ticket_id, head_sha=head_sha, **columns)
    view.git(repository).update_ref(f"refs/pull/{number}/head", head_sha)
    return find_pull(view, repository, number)


def edit_pull(view: View, pull: Pull, edit: PullEdit) -> Pull:
    """Change title, body or state. Raises UnprocessableError for a pull request that cannot be reopened."""
    sender, now = viewer(view), view.world.now()
    edit_ticket(view, pull, sender, title=edit.title, body=edit.body)
    if edit.state is not None and edit.state != pull.state:
        tip = view.git(pull.repository).branch(pull.head_ref)
        if edit.state == "open" and (pull.merged or tip is None):
            text = "state cannot be changed. The pull request cannot be reopened."
            raise UnprocessableError({"resource": "PullRequest", "code": "invalid", "field": "state", "message": text})
        if edit.state == "closed":
            close(view, pull, sender)
        else:
            store.touch_ticket(view.con, pull.id, now, state=edit.state, closed_at=None)
            store.change_pull(view.con, pull.id, head_sha=tip)
            events.emit_pull(view, "reopened", find_pull(view, pull.repository, pull.number), sender)
    return find_pull(view, pull.repository, pull.number)


def close(view: View, ticket: Ticket, by: Account, *, pull: int | None = None) -> None:
    """Close an issue or a pull request without a merge; `pull` is the pull request that closes it with its merge."""
    now = view.world.now()
    store.touch_ticket(view.con, ticket.id, now, state="closed", closed_at=now)
    store_closings.record_closing(view.con, ticket, by, now, pull=pull)
    fresh = store.ticket(view.con, ticket.repository, ticket.number) or ticket
    if isinstance(fresh, Pull):
        events.emit_pull(view, "closed", fresh, by)
    else:
        events.emit_issue(view, "closed", fresh, by)


def edit_ticket(view: View, ticket: Ticket, editor: Account, *, title: str | None, body: str | None) -> None:
    """Give an issue or pull request another title or text, and keep its history; what is None stays."""
    now = view.world.now()
    changes = {}
    if body is not None and body != ticket.body:
        store_edits.record_body(view.con, ticket, body, editor, now)
        changes["body"] = body
    if title is not None and title != ticket.title:
        store_edits.record_title(view.con, ticket, title, editor, now)
        changes["title"] = title
    if not changes:
        return
    before = {name: {"from": getattr(ticket, name)} for name in changes}
    store.touch_ticket(view.con, ticket.id, now, **changes)
    fresh = store.ticket(view.con, ticket.repository, ticket.number) or ticket
    if isinstance(fresh, Pull):
        events.emit_pull(view, "edited", fresh, editor, changes=before)
    else:
        events.emit_issue(view, "edited", fresh, editor, changes=before)


def add_labels(view: View, ticket: Ticket, names: Iterable[str], sender: Account) -> None:
    """Add labels to an issue or pull request; labels that it has stay."""
    added = store.add_labels(view.con, ticket.repository.id, ticket.id, names)
    if added:
        store.touch_ticket(view.con, ticket.id, view.world.now())
        for name in added:
            store_labels.record(view.con, ticket, name, sender, view.world.now(), removed=False)
        events.emit_labeled(view, store.ticket(view.con, ticket.repository, ticket.number) or ticket, added, sender)


def remove_label(view: View, ticket: Ticket, name: str, sender: Account) -> None:
    """Remove a label from an issue or pull request. Raises RefusedError (404) when the ticket does not have it."""
    label = store_labels.remove(view.con, ticket, name)
    if label is None:
        raise RefusedError("Label does not exist", status=404)
    now = view.world.now()
    store_labels.record(view.con, ticket, label.name, sender, now, removed=True)
    store.touch_ticket(view.con, ticket.id, now)
    fresh = store.ticket(view.con, ticket.repository, ticket.number) or ticket
    events.emit_unlabeled(view, fresh, label, sender)


def set_draft(view: View, pull: Pull, *, draft: bool) -> Pull:
    """Turn a pull request into a draft or back. Raises RefusedError when it is closed."""
    if pull.state != "open":
        raise RefusedError("The pull request is closed")
    if pull.draft != draft:
        store.change_pull(view.con, pull.id, draft=draft)
        store.touch_ticket(view.con, pull.id, view.world.now())
        fresh = find_pull(view, pull.repository, pull.number)
        events.emit_pull(view, "converted_to_draft" if draft else "ready_for_review", fresh, viewer(view))
    return find_pull(view, pull.repository, pull.number)


def review(view: View, pull: Pull, reviewer: Account, state: str, body: str) -> None:
    """Submit a review of the present head, `APPROVED` or another of GitHub's states."""
    now = view.world.now()
    store.insert(
        view.con,
        "reviews",
        ticket_id=pull.id,
        author_id=reviewer.id,
        state=state,
        body=body,
        commit_sha=pull.head_sha,
        submitted_at=now,
    )
    store.touch_ticket(view.con, pull.id, now)
    events.emit_review(view, find_pull(view, pull.repository, pull.number), reviewer, state)


def open_thread(view: View, pull: Pull, author: Account, body: str, *, path: str, line: int) -> None:
    """Open a review thread on a line of the present head."""
    now = view.world.now()
    thread_id = store.insert(
        view.con,
        "threads",
        ticket_id=pull.id,
        path=path,
        line=line,
        commit_sha=pull.head_sha,
        resolved=False,
        outdated=False,
    )
    store.insert(
        view.con,
        "thread_comments",
        thread_id=thread_id,
        author_id=author.id,
        body=body,
        commit_sha=pull.head_sha,
        created_at=now,
        updated_at=now,
    )
    store.touch_ticket(view.con, pull.id, now)


def answer_thread(view: View, thread: Thread, author: Account, body: str) -> ThreadComment:
    """Add a comment to a review thread."""
    now = view.world.now()
    store.insert(
        view.con,
        "thread_comments",
        thread_id=thread.id,
        author_id=author.id,
        body=body,
        commit_sha=thread.commit_sha,
        created_at=now,
        updated_at=now,
    )
    store.touch_ticket(view.con, thread.pull.id, now)
    return store.thread_comments(view.con, thread)[-1]


def add_comment(view: View, ticket: Ticket, body: str, author: Account, made: str | None = None) -> Comment:
    """Comment on an issue or pull request."""
    now = made or view.world.now()
    store.insert(
        view.con, "comments", ticket_id=ticket.id, author_id=author.id, body=body, created_at=now, updated_at=now
    )
    store.touch_ticket(view.con, ticket.id, now)
    return store.comments(view.con, ticket)[-1]


def find_pull(view: View, repository: Repository, number: int) -> Pull:
    """Return a pull request. Raises RefusedError (404) when there is none of this number."""
    pull = store.pull(view.con, repository, number)
    if pull is None:
        raise RefusedError(f"{repository.full_name}#{number} is not a pull request", status=404)
    return pull
