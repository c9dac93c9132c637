"""Acts of people other than the token's owner, for tests: they label and review, with permissions of their own."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from squire_forge import events, merging, operations, store, store_edits, store_labels
from squire_forge.errors import RefusedError
from squire_forge.merge_rules import MergeRules, set_rules
from squire_forge.records import Account, Pull, Repository, Ticket
from squire_forge.world import View, World


class NewRemark(BaseModel):
    """A review thread that somebody opens on a line of a pull request's head."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(min_length=1)
    line: int = Field(default=1, ge=1)
    body: str = Field(min_length=1)


class ForkBranch(BaseModel):
    """A branch of a fork, `repository`, at a commit that the hosted repository has, too."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repository: str = Field(pattern="^[^/]+/[^/]+$")
    branch: str = Field(min_length=1)
    sha: str = Field(pattern="^[0-9a-f]{40}$")


class PersonAct(BaseModel):
    """The body of `POST /_forge/people`: `login` gets `permission`, or acts on issue or pull request `number`.

    `kind` is what a new account is. With `title` and without `number` it opens an issue, with `fork` a pull request
    from there. `close` closes it, `closed_by` is the pull request whose merge does so, `comment` is written below it. A
    `review` has a `review_text`. `at` is when it happens, now by default. `merging` are the repository's rules from
    then on, and with `not_merged` auto-merge is switched off, or the merge queue drops it, for that reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    repository: str = Field(pattern="^[^/]+/[^/]+$")
    login: str = Field(min_length=1)
    kind: Literal["User", "Bot"] = "User"
    permission: Literal["admin", "maintain", "write", "triage", "read", "none"] | None = None
    number: int = 0
    title: str | None = Field(default=None, min_length=1)
    body: str | None = None
    add_label: str | None = None
    remove_label: str | None = None
    remark: NewRemark | None = None
    edit_remark: str | None = None
    fork: ForkBranch | None = None
    at: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    merging: MergeRules | None = None
    not_merged: str | None = None
    comment: str | None = None
    close: bool = False
    closed_by: int | None = None
    review_text: str = ""
    review: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED"] | None = None


def act_as(world: World, act: PersonAct) -> None:
    """Carry out a person's act. Raises RefusedError when there is no such repository, pull request or label."""
    owner, _, name = act.repository.partition("/")
    with world.lock, world.standing_at(act.at), world.database.writing() as con:
        view = View(world, con)
        repository = store.find_repository(con, owner, name)
        if repository is None:
            raise RefusedError(f"there is no repository {act.repository}")
        person = store.ensure_account(con, act.login, act.kind, world.now())
        if act.permission is not None:
            store_labels.set_permission(con, repository, person, act.permission)
        if act.merging is not None:
            set_rules(view, repository, act.merging)
            world.touch(repository.id)
        if act.number == 0:
            if act.title is not None:
                _open(view, repository, person, act)
            return
        ticket = store.ticket(con, repository, act.number)
        if ticket is None:
            raise RefusedError(f"{act.repository}#{act.number} does not exist")
        _act_on(view, ticket, person, act)


def _open(view: View, repository: Repository, person: Account, act: PersonAct) -> None:
    number = operations.insert_ticket(
        view, repository, title=act.title or "", body=act.body or "", author=person, pull=act.fork is not None
    )
    if act.fork is not None:
        base = repository.default_branch
        pull = operations.insert_pull(
            view,
            repository,
            number,
            head_ref=act.fork.branch,
            head_sha=act.fork.sha,
            fork=act.fork.repository,
            base_ref=base,
            base_sha=view.git(repository).branch(base) or act.fork.sha,
            draft=False,
        )
        events.emit_pull(view, "opened", pull, person)
        return
    ticket = store.ticket(view.con, repository, number)
    if ticket is not None:
        events.emit_issue(view, "opened", ticket, person)


def _end(view: View, ticket: Ticket, person: Account, act: PersonAct) -> None:
    if act.comment is not None:
        comment = operations.add_comment(view, ticket, act.comment, person)
        events.emit_comment(view, "created", comment, person)
    if act.close or act.closed_by is not None:
        operations.close(view, ticket, person, pull=act.closed_by)


def _act_on(view: View, ticket: Ticket, person: Account, act: PersonAct) -> None:
    operations.edit_ticket(view, ticket, person, title=act.title, body=act.body)
    if act.add_label is not None:
        operations.add_labels(view, ticket, [act.add_label], person)
    if act.remove_label is not None:
        operations.remove_label(view, ticket, act.remove_label, person)
    _end(view, ticket, person, act)
    if act.review is None and act.remark is None and act.edit_remark is None and act.not_merged is None:
        return
    if not isinstance(ticket, Pull):
        raise RefusedError(f"{act.repository}#{act.number} is not a pull request")
    if act.not_merged is not None:
        merging.end(view, ticket, person, act.not_merged)
    if act.review is not None:
        operations.review(view, ticket, person, act.review, act.review_text)
    if act.remark is not None:
        operations.open_thread(view, ticket, person, act.remark.body, path=act.remark.path, line=act.remark.line)
    if act.edit_remark is not None:
        thread = store.threads(view.con, ticket)[-1]
        store_edits.edit_comment(
            view.con, store.thread_comments(view.con, thread)[0], act.edit_remark, person, view.world.now()
        )
