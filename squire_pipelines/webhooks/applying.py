"""Applies the deliveries that wait: in their order, one transaction for one delivery, and none blocks another.

What one does is `effects`'. One that cannot be applied is tried again with growing waits, and what is about the same
pull request waits with it, until it is set aside. GitHub is asked nothing here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from squire_pipelines.domain.branches import is_own_branch
from squire_pipelines.domain.delivery_retries import next_try
from squire_pipelines.errors import ConfigError, LedgerError, NotReachableError, SquireError, StateConflictError
from squire_pipelines.github import comments
from squire_pipelines.github.events import ParsedDelivery, parse_delivery
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.delivery_failures import mark_failed, set_aside
from squire_pipelines.ledger.delivery_repetitions import close_repeated
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.effects import Touched, apply_delivery, is_about_ours

# A delivery can overtake our own record of the pull request that it is about.
_PATIENCE = timedelta(minutes=10)
_PAGE = 200
_PAGE_BYTES = 64 * 2**20
_MAX_PAGES = 50
# Deliveries that are about none of our pull requests are ticked off together.
_MAX_UNREAD = 100
_MAX_UNREAD_AGE = timedelta(minutes=5)
_COMMAND_MARK = b"/squire"
_MAX_LOGGED = 500

_NOT_OURS = (LedgerError, ConfigError, NotReachableError, OSError, OperationalError, InternalError, PoolTimeoutError)


def is_data(error: Exception) -> bool:
    """Return whether an error is the delivery's, or of our code with it, and not of a ledger that is locked or away.

    Whatever one delivery raises is its own: it is tried again and set aside, and the others go on.
    """
    if isinstance(error, LedgerError) and isinstance(error.__cause__, DBAPIError):  # as `Ledger.write` names it
        return is_data(error.__cause__)
    if isinstance(error, StateConflictError):
        return True
    return not isinstance(error, _NOT_OURS) and not (isinstance(error, DBAPIError) and error.connection_invalidated)


def cause_of(error: Exception) -> str:
    """Return an error in words: what is none of ours with its class, since its text alone may say nothing."""
    return str(error) if isinstance(error, SquireError | DBAPIError) else f"{type(error).__name__}: {error}"


@dataclass(slots=True)
class InboxPlace:
    """How far the inbox was read: up to which row, and what waits behind a delivery that is to be tried again."""

    after: int = 0
    waiting: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Applied:
    """What came of the deliveries that waited.

    Args:
        count: How many are done with.
        touched: What GitHub is to be asked for them.
        left: The rows whose effects are done and that stay open, since GitHub is to be asked for them.
        commented: The repositories in which somebody wrote a command.
    """

    count: int = 0
    touched: Touched = field(default_factory=Touched)
    left: list[PendingDelivery] = field(default_factory=list)
    commented: set[str] = field(default_factory=set)


def apply_waiting(
    ledger: Ledger, settings: Settings, log: RunLog, *, asks: bool, place: InboxPlace | None = None
) -> Applied:
    """Apply the deliveries that wait, at most ten thousand.

    Args:
        ledger: Has them.
        settings: The operator's.
        log: Hears of what cannot be applied.
        asks: Whether the caller asks GitHub for what the deliveries touch. Otherwise those stay open for one who does.
        place: From where the inbox is read on, and is moved on; by default all of it is read.
    """
    place = place or InboxPlace()
    applied = Applied()
    for _ in range(_MAX_PAGES):
        with ledger.read() as tx:
            page = tuple(_read_page(tx, settings, place))
        if not page:
            break
        for delivery, parsed in page:
            place.after = delivery.id
            if parsed is not None:
                _apply_one(ledger, settings, log, delivery, parsed, asks=asks, place=place, applied=applied)
    return applied


def reason_to_look(tx: Transaction, settings: Settings) -> str | None:
    """Return why the deliveries that wait need a look by somebody who asks GitHub; None when they need none."""
    place = InboxPlace()
    ours = unread = 0
    is_old = False
    for delivery, parsed in _read_page(tx, settings, place):
        if parsed is None:
            continue
        unread += 1
        ours += isinstance(parsed, ParsedDelivery) and is_about_ours(tx, parsed)
        is_old = is_old or tx.now - delivery.received_at > _MAX_UNREAD_AGE
    if ours:
        return f"{ours} deliveries are about our pull requests"
    if unread >= _MAX_UNREAD or is_old:
        return f"{unread} deliveries were not looked at"
    return None


_Read = ParsedDelivery | Exception | None


def _read_page(tx: Transaction, settings: Settings, place: InboxPlace) -> Iterator[tuple[PendingDelivery, _Read]]:
    """Yield the next rows that wait, with what they say, or why they cannot be read; None for one that has to wait.

    They are as many as a page has, or as can be in memory at once: what a body says may be as large as the body.
    """
    size = 0
    for delivery in deliveries.unapplied(tx, after=place.after, limit=_PAGE):
        parsed, length = _parse(delivery)
        if isinstance(parsed, ParsedDelivery) and _has_to_wait(tx, settings, delivery, parsed, place):
            yield delivery, None
        else:
            yield delivery, parsed
        size += length
        if size > _PAGE_BYTES:
            return


def _parse(delivery: PendingDelivery) -> tuple[ParsedDelivery | Exception, int]:
    """Return what a delivery says, or why it cannot be read, and the length of its body in bytes."""
    try:
        body = delivery.body
        return parse_delivery(delivery.event, body, known_as=delivery.repository), len(body)
    except Exception as error:  # returned to be recorded with this delivery, unless it is the machine's or ours
        if not is_data(error):
            raise
        return error, len(delivery.stored_body)


def _has_to_wait(
    tx: Transaction, settings: Settings, delivery: PendingDelivery, parsed: ParsedDelivery, place: InboxPlace
) -> bool:
    if is_held(delivery, parsed, place, now=tx.now):
        return True
    return _may_come(tx, parsed, delivery, settings.publishing.branch_prefix)


def subjects_of(parsed: ParsedDelivery) -> frozenset[str]:
    """Return what a delivery is about: those that share a subject are applied in the order in which they came."""
    subjects = set()
    if parsed.report is not None:
        reverted = parsed.reverts.numbers if parsed.reverts is not None else ()
        subjects |= {f"{parsed.report.repository}#{number}" for number in (parsed.report.number, *reverted)}
    if parsed.checks is not None:
        subjects.add(f"{parsed.checks.repository}@{parsed.checks.head_sha}")
        subjects |= {f"{parsed.checks.repository}#{number}" for number in parsed.checks.pull_requests}
    if parsed.push is not None:
        subjects.add(f"{parsed.push.repository}:{parsed.push.branch}")
    if parsed.change is not None:
        subjects.add(f"repository {parsed.repository}")
    if parsed.installation is not None:
        subjects.add(f"installation {parsed.installation.account}")
    return frozenset(subjects)


def is_held(delivery: PendingDelivery, parsed: ParsedDelivery, place: InboxPlace, *, now: datetime) -> bool:
    """Return whether a delivery waits for its next try, or behind one that does; what it is about waits with it."""
    waits = not place.waiting.isdisjoint(subjects_of(parsed)) or now < next_try(
        delivery.updated_at, delivery.apply_tries
    )
    if waits:
        place.waiting |= subjects_of(parsed)
    return waits


def _may_come(tx: Transaction, parsed: ParsedDelivery, delivery: PendingDelivery, prefix: str) -> bool:
    """Return whether the delivery is about a pull request of ours whose record is still to come."""
    report = parsed.report
    if report is None or not is_own_branch(report.head_ref, prefix):
        return False
    return tx.now - delivery.received_at < _PATIENCE and not outcomes.is_ours(tx, report.repository, {report.number})


def _apply_one(
    ledger: Ledger,
    settings: Settings,
    log: RunLog,
    delivery: PendingDelivery,
    parsed: ParsedDelivery | Exception,
    *,
    asks: bool,
    place: InboxPlace,
    applied: Applied,
) -> None:
    with ledger.write() as tx:
        # Another process may be at it, or have been: it is read again, now that no other is.
        tx.exclusive("deliveries")
        if not deliveries.is_unapplied(tx, delivery.id):
            return
        if isinstance(parsed, Exception):
            log.warning("delivery %s cannot be read: %s", delivery.id, cause_of(parsed)[:_MAX_LOGGED])
            set_aside(tx, delivery.id, cause_of(parsed))
            applied.count += 1
            return
        if not place.waiting.isdisjoint(subjects_of(parsed)):  # by one before it in this page
            place.waiting |= subjects_of(parsed)
            return
        if _gives_orders(delivery, parsed) and close_repeated(tx, delivery.id):
            log.warning("delivery %s repeats another one under another id: it has no effect", delivery.id)
            applied.count += 1
            return
        try:
            with tx.connection.begin_nested():  # applied whole or not at all
                touched = apply_delivery(tx, parsed, delivery, names=settings.repositories)
        except Exception as failure:  # recorded with this delivery, unless it is the machine's or ours
            if not is_data(failure):
                raise
            # What was stored cannot be used: it must not hold up the deliveries behind it for ever.
            error = f"cannot be applied: {cause_of(failure)}"
            log.warning("delivery %s %s", delivery.id, error[:_MAX_LOGGED])
            if not mark_failed(tx, delivery.id, error, max_tries=settings.webhooks.max_tries):
                place.waiting |= subjects_of(parsed)
            return
        waiting = outcomes.awaiting_approval(tx, set(touched.reported))
        if not asks and (touched.checked or touched.moved or waiting):
            applied.left.append(delivery.without_body())
        else:
            deliveries.mark_applied(tx, [delivery.id])
            applied.count += 1
    applied.touched.add(touched)
    if _is_command(delivery, parsed) and delivery.repository is not None:
        applied.commented.add(delivery.repository)


def _gives_orders(delivery: PendingDelivery, parsed: ParsedDelivery) -> bool:
    """Return whether what a delivery does depends on when it comes, so that it must not be repeated later.

    Of a pull request and of checks GitHub is asked, or the newest report counts.
    """
    return parsed.change is not None or parsed.installation is not None or _is_command(delivery, parsed)


def _is_command(delivery: PendingDelivery, parsed: ParsedDelivery) -> bool:
    return parsed.event == comments.EVENT and _COMMAND_MARK in delivery.body
