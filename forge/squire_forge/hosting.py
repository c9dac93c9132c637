"""Hosting of a local repository: the request's model, the bare copy, its issues, pull requests and expectations."""

import os
import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from squire_forge import events, merge_rules, operations, settling, store, store_labels
from squire_forge.errors import RepositoryError
from squire_forge.git import GitDirectory
from squire_forge.records import Account, Pull, Repository, Ticket
from squire_forge.reviewing import HostedReviewer, set_reviewer
from squire_forge.world import View, World

_MAX_ITEMS = 500
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})$")]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HostedComment(_Shape):
    """A comment; `bot` marks its author as one. `created_at` (RFC 3339) is now by default.

    Its author may write to the repository, unless it is a bot or an `outsider`.
    """

    author: Login
    body: str
    bot: bool = False
    outsider: bool = False
    created_at: str | None = None


class HostedThread(HostedComment):
    """A review thread with its first comment, on a line of the head, and its answers."""

    path: str
    line: int | None = None
    resolved: bool = False
    replies: tuple[HostedComment, ...] = Field(default=(), max_length=_MAX_ITEMS)


class HostedReview(HostedComment):
    """A submitted review."""

    state: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED"] = "COMMENTED"


class HostedIssue(HostedComment):
    """An open issue. Its labels were set by `labelled_by`, the author by default.

    One that somebody else labelled was made at least a second before, if `created_at` does not say when.
    """

    title: str
    body: str = ""
    labels: tuple[str, ...] = ()
    labelled_by: Login | None = None
    comments: tuple[HostedComment, ...] = Field(default=(), max_length=_MAX_ITEMS)


class HostedPull(HostedIssue):
    """An open pull request; `base` is the default branch if it is None."""

    head: str
    base: str | None = None
    draft: bool = False
    review_threads: tuple[HostedThread, ...] = Field(default=(), max_length=_MAX_ITEMS)
    reviews: tuple[HostedReview, ...] = Field(default=(), max_length=_MAX_ITEMS)


class HostedExpectation(_Shape):
    """What a check expects: `pattern` (multi-line) is found in `path`, or with `must_match` false it is not.

    One that is `flaky` fails only in the first run on a commit.
    """

    check: str
    path: str
    pattern: str
    must_match: bool = True
    message: str = ""
    flaky: bool = False


class HostedStatus(_Shape):
    """A status that another service put on the tip of a branch."""

    branch: str
    context: str
    state: Literal["error", "failure", "pending", "success"]
    description: str | None = None


class HostRequest(_Shape):
    """The body of `POST /_forge/repos`. `path` is a local git repository, which is copied."""

    owner: Login
    name: Name
    path: Path
    description: str | None = None
    default_branch: str | None = None
    private: bool = False
    archived: bool = False
    issues: tuple[HostedIssue, ...] = Field(default=(), max_length=_MAX_ITEMS)
    pull_requests: tuple[HostedPull, ...] = Field(default=(), max_length=_MAX_ITEMS)
    expectations: tuple[HostedExpectation, ...] = Field(default=(), max_length=_MAX_ITEMS)
    statuses: tuple[HostedStatus, ...] = Field(default=(), max_length=_MAX_ITEMS)
    merging: merge_rules.MergeRules = merge_rules.MergeRules()
    reviewer: HostedReviewer | None = None


def host(world: World, request: HostRequest) -> tuple[Repository, bool]:
    """Host a repository and return it with whether it is new. One that is hosted already is left as it is.

    Raises RepositoryError if `path` is no git repository or its default branch is unknown.
    """
    for expectation in request.expectations:
        try:
            re.compile(expectation.pattern)
        except re.error as error:
            raise RepositoryError(f"the expectation on {expectation.path} has no valid pattern: {error}") from error
    with world.lock:
        with world.database.reading() as con:
            hosted = store.find_repository(con, request.owner, request.name)
        if hosted is not None:
            return hosted, False
        git = _copy(world, request)
        with world.database.writing() as con:
            made = _insert(View(world, con), request, git)
        settling.settle(world, made.id)
    return made, True


def _copy(world: World, request: HostRequest) -> GitDirectory:
    """Copy the repository and rename the bare copy into place; a copy that a killed forge left behind is replaced."""
    source = request.path.absolute()
    if not ((source / ".git").exists() or (source / "objects").is_dir()):
        raise RepositoryError(f"{source} is not a git repository", hint="name the folder of a local clone")
    target = world.git_path(request.owner, request.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    made = GitDirectory.clone_from(source, temporary, request.default_branch or "main")
    branches = made.branches()
    if request.default_branch is None and branches and "main" not in branches:
        shutil.rmtree(temporary)
        raise RepositoryError(
            f"{source} has no branch main, and the request names no default branch",
            hint=f"name one of {', '.join(sorted(branches))}",
        )
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    return GitDirectory(target)


def _insert(view: View, request: HostRequest, git: GitDirectory) -> Repository:
    con, now = view.con, view.world.now()
    owner = store.ensure_account(con, request.owner, "Organization", now)
    sender = operations.viewer(view)
    repository_id = store.insert(
        con,
        "repositories",
        owner_id=owner.id,
        name=request.name,
        description=request.description,
        default_branch=request.default_branch or "main",
        private=request.private,
        archived=request.archived,
        next_number=1,
        created_at=now,
        updated_at=now,
        pushed_at=now,
    )
    branches = git.branches()
    for name, sha in branches.items():
        store.set_branch(con, repository_id, name, sha, now)
    repository = store.repository(con, repository_id)
    merge_rules.set_rules(view, repository, request.merging)
    events.emit_ping(view, repository, sender)
    for expectation in request.expectations:
        store.insert(
            con,
            "expectations",
            repository_id=repository_id,
            check_name=expectation.check,
            path=expectation.path,
            pattern=expectation.pattern,
            must_match=expectation.must_match,
            message=expectation.message,
            flaky=expectation.flaky,
        )
    for status in request.statuses:
        store.insert(
            con,
            "statuses",
            repository_id=repository_id,
            sha=branches.get(status.branch, ""),
            context=status.context,
            state=status.state,
            description=status.description,
            created_at=now,
        )
    if request.reviewer is not None:
        set_reviewer(con, repository_id, request.reviewer)
    for issue in request.issues:
        _insert_issue(view, repository, issue)
    for pull in request.pull_requests:
        _insert_pull(view, repository, pull)
    return repository


def _author(view: View, repository: Repository, comment: HostedComment) -> Account:
    author = store.ensure_account(view.con, comment.author, "Bot" if comment.bot else "User", view.world.now())
    if not comment.bot and not comment.outsider:
        store_labels.set_permission(view.con, repository, author, "write")
    return author


def _made(view: View, hosted: HostedIssue) -> str | None:
    if hosted.created_at is not None or hosted.labelled_by is None:
        return hosted.created_at
    # GitHub tells times to the second, and a label of the same second may have been there before the text.
    return (datetime.fromisoformat(view.world.now()) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _label(view: View, repository: Repository, ticket: Ticket, hosted: HostedIssue) -> None:
    now = view.world.now()
    by = store.ensure_account(view.con, hosted.labelled_by or hosted.author, "User", now)
    if hosted.labelled_by is not None:
        store_labels.set_permission(view.con, repository, by, "write")
    for name in store.add_labels(view.con, repository.id, ticket.id, hosted.labels):
        store_labels.record(view.con, ticket, name, by, now, removed=False)


def _insert_issue(view: View, repository: Repository, issue: HostedIssue) -> None:
    author = _author(view, repository, issue)
    number = operations.insert_ticket(
        view, repository, title=issue.title, body=issue.body, author=author, pull=False, made=_made(view, issue)
    )
    ticket = store.ticket(view.con, repository, number)
    if ticket is None:
        return
    _label(view, repository, ticket, issue)
    for comment in issue.comments:
        operations.add_comment(view, ticket, comment.body, _author(view, repository, comment), comment.created_at)
    events.emit_issue(view, "opened", ticket, author)


def _insert_pull(view: View, repository: Repository, hosted: HostedPull) -> None:
    author = _author(view, repository, hosted)
    request = operations.NewPull(
        title=hosted.title,
        head=hosted.head,
        base=hosted.base or repository.default_branch,
        body=hosted.body,
        draft=hosted.draft,
    )
    pull = operations.create_pull(view, repository, request, author, made=_made(view, hosted), announce=False)
    _label(view, repository, pull, hosted)
    for comment in hosted.comments:
        operations.add_comment(view, pull, comment.body, _author(view, repository, comment), comment.created_at)
    for review in hosted.reviews:
        store.insert(
            view.con,
            "reviews",
            ticket_id=pull.id,
            author_id=_author(view, repository, review).id,
            state=review.state,
            body=review.body,
            commit_sha=pull.head_sha,
            submitted_at=review.created_at or view.world.now(),
        )
    for thread in hosted.review_threads:
        _insert_thread(view, pull, thread)
    events.emit_pull(view, "opened", pull, author)


def _insert_thread(view: View, pull: Pull, thread: HostedThread) -> None:
    now = thread.created_at or view.world.now()
    thread_id = store.insert(
        view.con,
        "threads",
        ticket_id=pull.id,
        path=thread.path,
        line=thread.line,
        commit_sha=pull.head_sha,
        resolved=thread.resolved,
        outdated=False,
    )
    for comment in (thread, *thread.replies):
        store.insert(
            view.con,
            "thread_comments",
            thread_id=thread_id,
            author_id=_author(view, pull.repository, comment).id,
            body=comment.body,
            commit_sha=pull.head_sha,
            created_at=comment.created_at or now,
            updated_at=comment.created_at or now,
        )
