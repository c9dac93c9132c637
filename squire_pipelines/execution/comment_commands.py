"""Does what people ask for in comments on GitHub: `/squire do …` by somebody who may becomes a task, once.

What is decided about work that is there already is `comment_decisions`'.

Read with the collection that the comment's delivery asks for. The commands' form is `domain.commands`, and who may give
them `domain.authority`: whoever may write to the repository (`trust.min_permission`), and never a bot.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from squire_pipelines.domain.authority import is_permitted_person
from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.commands import CommandName, CommentCommand, parse_commands
from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.domain.signals import OpenIssue, OpenPullRequest, Signal, SignalKind
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import DeliveryError, GitHubError
from squire_pipelines.execution.comment_decisions import decide
from squire_pipelines.execution.given_command import GivenCommand
from squire_pipelines.execution.people import judged_author
from squire_pipelines.execution.present_pull import record_present_pull
from squire_pipelines.execution.requests import create_request
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.comments import CREATED, EVENT, IssueComment, parse_comment
from squire_pipelines.github.issues import Reaction, react
from squire_pipelines.ledger import collections, deliveries, outcomes
from squire_pipelines.ledger.audit import record_audit, was_recorded
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.delivery_effects import has_effect, record_effect
from squire_pipelines.ledger.delivery_failures import Reader, mark_failed
from squire_pipelines.ledger.delivery_repetitions import close_repeated
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS, request_spec, title_from
from squire_pipelines.planning.rules import tasks_of
from squire_pipelines.planning.selection import Candidate
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.applying import cause_of, is_data

ALL = frozenset(CommandName)
_STOPPING = frozenset({CommandName.STOP, CommandName.REJECT, CommandName.HOLD})
_log = get_logger(Component.PIPELINE)


async def obey_comments(
    client: GitHubClient,
    ledger: Ledger,
    settings_of: Callable[[str], Settings],
    ids: Sequence[int],
    *,
    only: Collection[CommandName] = ALL,
) -> frozenset[int]:
    """Do what the comments among these deliveries ask for; return the deliveries that are to be read again.

    Of one issue or pull request, no comment is obeyed before an earlier one that is to be read again; but what stops
    work waits for nobody whom GitHub does not tell of.

    Args:
        client: Asks GitHub what an author may do.
        ledger: Has the deliveries, and takes the tasks.
        settings_of: Gives the settings that hold in a repository.
        ids: The inbox rows that asked for the collection, after which this is called.
        only: The commands that are obeyed now. A comment with another one is left as it is.
    """
    again: set[int] = set()
    left: set[str] = set()
    failed: set[str] = set()
    for delivery in deliveries.among(ledger, ids, event=EVENT, action=CREATED):
        order = _read(delivery)
        if order is None or _is_repeated(ledger, delivery):
            continue
        if order.about in left or not order.names.issubset(only):
            left.add(order.about)
            again.add(delivery.id)
        elif order.about in failed and not order.names.issubset(_STOPPING):
            again.add(delivery.id)
        elif not await _obey_or_record(client, ledger, settings_of(order.repository), order):
            # Nothing is lost: the delivery stays open and is taken again.
            again.add(delivery.id)
            failed.add(order.about)
    return frozenset(again)


def _is_repeated(ledger: Ledger, delivery: PendingDelivery) -> bool:
    """Return whether somebody sent an earlier comment's delivery once more, and close it then."""
    with ledger.write() as tx:
        is_repeated = close_repeated(tx, delivery.id)
    if is_repeated:
        _log.warning("comment.repeated", delivery=delivery.id, repository=delivery.repository)
    return is_repeated


def _read(delivery: PendingDelivery) -> "_Order | None":
    """Return the order that a delivery brings; None where it brings none, or cannot be read."""
    if delivery.repository is None:
        return None
    try:
        comment = parse_comment(delivery.body)
    except DeliveryError as error:
        _log.warning("comment.not_read", delivery=delivery.id, repository=delivery.repository, cause=str(error))
        return None
    commands = parse_commands(comment.body) if comment is not None else ()
    return _Order(delivery, delivery.repository, comment, commands) if comment is not None and commands else None


async def _obey_or_record(client: GitHubClient, ledger: Ledger, settings: Settings, order: "_Order") -> bool:
    """Do what a comment asks for; return whether that is done with, and False where it is to be tried again."""
    delivery = order.delivery
    try:
        with bound_context(trace_id=delivery.trace_id, repository=order.repository):
            await _obey(client, ledger, settings, order)
    except GitHubError as error:
        _log.warning("comment.not_judged", delivery=delivery.id, repository=order.repository, cause=str(error))
        return False
    except Exception as error:  # of whatever kind: recorded with this comment, unless it is the machine's or ours
        if not is_data(error):
            raise
        return _record_failure(ledger, settings, delivery, error)
    return True


def _record_failure(ledger: Ledger, settings: Settings, delivery: PendingDelivery, error: Exception) -> bool:
    """Record that a comment cannot be obeyed as it is; return whether it is set aside. It holds up no other one."""
    reason = f"the comment cannot be obeyed: {cause_of(error)}"
    _log.warning("comment.not_obeyed", delivery=delivery.id, repository=delivery.repository, cause=reason[:500])
    with ledger.write() as tx:
        return mark_failed(tx, delivery.id, reason, max_tries=settings.webhooks.max_tries, reader=Reader.COLLECTION)


@dataclass(frozen=True, slots=True)
class _Order:
    """A comment with its commands, and its delivery."""

    delivery: PendingDelivery
    repository: str
    comment: IssueComment
    commands: tuple[CommentCommand, ...]

    @property
    def names(self) -> frozenset[CommandName]:
        """The commands that it has."""
        return frozenset(command.name for command in self.commands)

    @property
    def about(self) -> str:
        """The issue or pull request under which it stands."""
        return f"{self.repository}#{self.comment.number}"

    def subject(self, place: int) -> str:
        """Return what the effect of its command at a place is recorded on."""
        return self.about if place == 0 else f"{self.about} ({place + 1})"


async def _obey(client: GitHubClient, ledger: Ledger, settings: Settings, order: _Order) -> None:
    repository, comment, delivery = order.repository, order.comment, order.delivery
    with ledger.read() as tx:
        if _is_heard(tx, order):
            return
    author = await judged_author(client, ledger, settings, repository, comment.author)
    may = is_permitted_person(author, settings.trust_rules_for(repository))
    is_refused = False
    if may and comment.on_pull_request and any(command.name is CommandName.RETRY for command in order.commands):
        await _learn_head(client, ledger, repository, comment.number)
    with ledger.write() as tx:
        tx.exclusive("commands")
        for place, command in enumerate(order.commands):
            # It was delivered again, is replayed, or another process was at it.
            if has_effect(tx, delivery.id, Effect.COMMAND, order.subject(place)):
                continue
            request = GivenCommand(repository, comment, place, command, delivery.trace_id)
            refusal = _do(tx, settings, request) if may else f"@{author.login} may not order work here"
            if refusal is not None:
                is_refused = True
                _refuse(tx, request, refusal)
                continue
            detail = f"/squire {command.name} by @{author.login}"
            _record(tx, order, Effect.COMMAND, order.subject(place), detail)
        is_shown = has_effect(tx, delivery.id, Effect.REACTION, order.about)
    # A stranger's comment is left alone: nobody can have Squire write by writing to it.
    if may and settings.publishing.reactions and not is_shown:
        reaction = _reaction(order.commands, is_refused=is_refused)
        if await _react(client, repository, comment.id, reaction):
            with ledger.write() as tx:
                _record(tx, order, Effect.REACTION, order.about, reaction.value)


def _record(tx: Transaction, order: _Order, effect: Effect, subject: str, detail: str) -> None:
    record_effect(tx, order.delivery.id, effect, subject, trace_id=order.delivery.trace_id, detail=detail)


def _is_heard(tx: Transaction, order: _Order) -> bool:
    """Return whether all that a comment asks for is done, and shown as far as it will be."""
    row = order.delivery.id
    if not all(has_effect(tx, row, Effect.COMMAND, order.subject(place)) for place in range(len(order.commands))):
        return False
    return order.delivery.replays > 0 or has_effect(tx, row, Effect.REACTION, order.about)


async def _learn_head(client: GitHubClient, ledger: Ledger, repository: str, number: int) -> None:
    """Record the present head of a pull request of ours: what its author has just pushed may not be known yet."""
    with ledger.read() as tx:
        is_ours = outcomes.is_ours(tx, repository, {number})
    if is_ours:
        await record_present_pull(client, ledger, repository, number)


def _reaction(commands: Sequence[CommentCommand], *, is_refused: bool) -> Reaction:
    if is_refused:
        return Reaction.REFUSED
    return Reaction.SEEN if any(command.name is CommandName.DO for command in commands) else Reaction.DONE


async def _react(client: GitHubClient, repository: str, comment_id: int, reaction: Reaction) -> bool:
    """Show that a comment was read, and return whether it is; a failure is only logged, since all else is done."""
    try:
        await react(client, repository, comment_id, reaction)
    except GitHubError as error:
        _log.warning("comment.no_reaction", repository=repository, comment=comment_id, cause=str(error))
        return False
    return True


def _do(tx: Transaction, settings: Settings, order: GivenCommand) -> str | None:
    """Do what is asked for; return why not where that cannot be."""
    if order.command.name is CommandName.DO:
        return _request(tx, settings, order)
    return decide(tx, settings, order)


def _request(tx: Transaction, settings: Settings, order: GivenCommand) -> str | None:
    """Make the task of an order; return why not where that cannot be."""
    text, comment = order.command.text, order.comment
    if len(text) > MAX_TEXT_CHARS:
        return f"the order has more than {MAX_TEXT_CHARS} characters"
    if comment.on_pull_request and not text:
        return "it does not say what is to be done"
    if not text and DASHBOARD_MARK in comment.text:
        return "this is a dashboard of Squire's: say what is to be done"
    signal = _subject(tx, order)
    base = DEFAULT_BRANCH
    if signal is None and comment.on_pull_request:
        return f"#{comment.number} is none of the open pull requests that were read: its branch is not known"
    if signal is not None and isinstance(signal.details, OpenPullRequest):
        if signal.details.from_fork:
            return f"the branch of #{comment.number} lies in a fork, where Squire may not write"
        base = signal.details.head_ref
    refs = (signal.ref,) if signal is not None else ()
    spec = request_spec(title_from(text), text, base_branch=base, signals=refs) if text else _issue_spec(tx, order)
    request = RequestedTask(
        order.repository,
        spec,
        order.actor,
        fingerprint=_fingerprint(order),
        versions={signal.ref: signal.version} if signal is not None else {},
        place=comment.url,
    )
    create_request(tx, settings, request, trace_id=order.trace_id)
    return None


def _subject(tx: Transaction, order: GivenCommand) -> Signal | None:
    """Return the open issue or pull request that the comment is about; None where none was read."""
    kind = SignalKind.OPEN_PR if order.comment.on_pull_request else SignalKind.OPEN_ISSUE
    ref = f"{kind}:{order.comment.number}"
    return next((signal for signal in collections.active_signals(tx, order.repository) if signal.ref == ref), None)


def _issue_spec(tx: Transaction, order: GivenCommand) -> TaskSpec:
    """Return the task that resolves the issue as it was when the comment was written: that text is what was read."""
    comment = order.comment
    details = OpenIssue(number=comment.number, author=comment.issue_author, labels=comment.labels, body=comment.text)
    signal = Signal(
        repository=order.repository,
        key=str(comment.number),
        version="",
        title=comment.title,
        url=comment.url.partition("#")[0],
        updated_at=tx.now,
        details=details,
    )
    (spec,) = tasks_of([Candidate(signal, DEFAULT_BRANCH)])
    return spec


def _refuse(tx: Transaction, order: GivenCommand, reason: str) -> None:
    """Record that a command was not obeyed, and why."""
    place: dict[str, JsonValue] = {"command": order.command.name.value, "url": order.comment.url, "place": order.place}
    detail = {**place, "reason": reason}
    subject = f"{order.repository}#{order.comment.number}"
    if was_recorded(tx, action="command.refused", subject=subject, detail=place):
        return  # the comment was delivered before
    record_audit(
        tx, actor=order.actor, action="command.refused", subject=subject, detail=detail, trace_id=order.trace_id
    )
    _log.warning("command.refused", repository=order.repository, number=order.comment.number, cause=reason)


def _fingerprint(order: GivenCommand) -> str:
    """Return what makes an order the same one, however often its delivery comes: its place in its comment."""
    text = f"comment\n{order.repository.casefold()}\n{order.comment.id}\n{order.place}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
