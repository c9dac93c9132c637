"""Which trace a person means: by its own id or the beginning of it, or by what belongs to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Select, select, union

from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import (
    archived_tasks,
    attempts,
    collections,
    deliveries,
    model_calls,
    outcomes,
    plans,
    tasks,
)

LEAST_PREFIX = 6
_TRACE = re.compile(rf"[0-9a-f]{{{LEAST_PREFIX},32}}")
_WHOLE = 32
_PULL_REQUEST = re.compile(r"https?://[^/\s]+/([^/\s]+/[^/\s]+)/pull/(\d{1,9})(?:[/?#].*)?")
_ROW_ID = re.compile(r"\d{1,18}")
_HINT = (
    "name a trace, a task, an attempt, a plan, a delivery or the URL of a pull request: `squire tasks list`, `squire "
    "plans list` and `squire webhooks list` show ids"
)


@dataclass(frozen=True, slots=True)
class TraceSubject:
    """A trace, and the task that was named, where one was."""

    trace_id: str
    task_id: str | None = None


def find_trace(tx: Transaction, text: str) -> TraceSubject:
    """Return the trace that `text` names.

    A whole trace id is returned as it is: rows of it may have left the ledger.

    Raises:
        NotFoundError: Nothing has that id, or several traces begin so.
    """
    text = text.strip()
    for find in (_by_pull_request, _by_task, _by_attempt, _by_plan, _by_delivery):
        if (subject := find(tx, text)) is not None:
            return subject
    if _TRACE.fullmatch(text.lower()):
        return _by_prefix(tx, text.lower())
    raise NotFoundError(f"nothing that Squire knows has the id {text!r}", hint=_HINT)


def _by_pull_request(tx: Transaction, text: str) -> TraceSubject | None:
    if (match := _PULL_REQUEST.fullmatch(text)) is None:
        return None
    query = (
        select(tasks.c.trace_id, tasks.c.id)
        .join(outcomes, outcomes.c.task_id == tasks.c.id)
        .where(outcomes.c.repository == match[1], outcomes.c.pr_number == int(match[2]))
    )
    archived = select(archived_tasks.c.trace_id, archived_tasks.c.id).where(
        archived_tasks.c.repository == match[1], archived_tasks.c.pr_number == int(match[2])
    )
    subject = _first(tx, query) or _first(tx, archived)
    if subject is None:
        raise NotFoundError(f"pull request {text} is none of Squire's", hint=_HINT)
    return subject


def _by_task(tx: Transaction, text: str) -> TraceSubject | None:
    live = select(tasks.c.trace_id, tasks.c.id).where(tasks.c.id == text)
    archived = select(archived_tasks.c.trace_id, archived_tasks.c.id).where(archived_tasks.c.id == text)
    return _first(tx, live) or _first(tx, archived)


def _by_attempt(tx: Transaction, text: str) -> TraceSubject | None:
    return _first(tx, select(attempts.c.trace_id, attempts.c.task_id).where(attempts.c.id == text))


def _by_plan(tx: Transaction, text: str) -> TraceSubject | None:
    return _first(tx, select(plans.c.trace_id).where(plans.c.id == text))


def _by_delivery(tx: Transaction, text: str) -> TraceSubject | None:
    query = select(deliveries.c.trace_id)
    if _ROW_ID.fullmatch(text) and (subject := _first(tx, query.where(deliveries.c.id == int(text)))) is not None:
        return subject
    # By GitHub's id there is no index of its own: that begins with the source.
    sources = select(deliveries.c.source).distinct().scalar_subquery()
    return _first(tx, query.where(deliveries.c.source.in_(sources), deliveries.c.delivery_id == text))


def _by_prefix(tx: Transaction, text: str) -> TraceSubject:
    if len(text) == _WHOLE:
        return TraceSubject(text)
    tables = (deliveries, collections, plans, tasks, model_calls)
    begins: Callable[..., Select[tuple[str]]] = lambda table: select(table.c.trace_id).where(  # noqa: E731 - one expression
        table.c.trace_id >= text, table.c.trace_id < f"{text}g"
    )
    ids = tx.execute(union(*map(begins, tables)).limit(2)).scalars().all()
    if not ids:
        raise NotFoundError(f"no trace begins with {text!r}", hint=_HINT)
    if len(ids) > 1:
        raise NotFoundError(
            f"several traces begin with {text!r}, like {' and '.join(sorted(ids))}", hint="write more of it"
        )
    return TraceSubject(ids[0])


def _first(tx: Transaction, query: "Select[tuple[str]] | Select[tuple[str, str]]") -> TraceSubject | None:
    row = tx.execute(query.limit(1)).one_or_none()
    return None if row is None or row[0] is None else TraceSubject(*row)
