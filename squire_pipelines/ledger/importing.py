"""Takes tasks into the ledger: those of the old product, and those of an export. Each once, however often it is done.

`old_tasks` reads the files; here their entries become rows. No task that is known is changed, and no file is written.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from sqlalchemy import JSON, Boolean, DateTime, Float, Integer, String, insert, select
from sqlalchemy.exc import DBAPIError, StatementError

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.identity import branch_name, new_id, new_trace_id
from squire_pipelines.domain.moments import parse_moment
from squire_pipelines.domain.outcomes import ChecksState, PullRequestState, ReviewState
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskKind, TaskSpec, TaskStatus
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.columns import CleanText, UtcDateTime
from squire_pipelines.ledger.exporting import FORMAT, LEFT_OUT, PARTS
from squire_pipelines.ledger.old_tasks import Entry, OldTask, read_entries
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata, outcomes, plans, task_dependencies, tasks
from squire_pipelines.ledger.task_creation import find_by_fingerprint
from squire_pipelines.ledger.transitions import EventContext, record_event

ACTOR = "import"
AT_ONCE = 200
"""Entries of one transaction."""

MAX_REASONS = 1_000
"""The report names so many skipped entries; the others are counted."""

# What an export's columns hold, as JSON has it; bool is an int for isinstance, and no number.
_PLAIN: tuple[tuple[tuple[type, ...], tuple[type, ...]], ...] = (
    ((Boolean,), (bool,)),
    ((Integer,), (int,)),
    ((Float,), (int, float)),
    ((String, CleanText), (str,)),
)
# Words that are read back as these, which no constraint of the database holds.
_NAMED: Mapping[tuple[str, str], type[StrEnum]] = MappingProxyType(
    {
        ("task_events", "subject"): EventSubject,
        ("outcomes", "review_state"): ReviewState,
        ("outcomes", "checks"): ChecksState,
    }
)
# Columns that had another name when an older Squire wrote the export.
_RENAMED: Mapping[tuple[str, str], str] = MappingProxyType(
    {("outcomes", "told_reason"): "announced_reason", ("outcomes", "answered"): "answered_task_id"}
)
_MAX_BRANCH = 120
_MAX_TITLE = 100


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that was not taken, and why."""

    file: str
    where: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What an import did. `taken` counts by the state that the tasks are in now; `known` were in the ledger before."""

    taken: dict[str, int] = field(default_factory=dict)
    known: int = 0
    skipped: int = 0
    reasons: list[Skipped] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def skip(self, entry: Entry, reason: str) -> None:
        """Count an entry that is not taken."""
        self.skipped += 1
        if len(self.reasons) < MAX_REASONS:
            self.reasons.append(Skipped(entry.file, entry.where, reason))

    def note(self, text: str) -> None:
        """Count something that a person should know of."""
        self.notes[text] = self.notes.get(text, 0) + 1


def import_tasks(
    ledger: Ledger, path: Path, *, max_attempts: int, progress: Callable[[int], None] = lambda _count: None
) -> ImportReport:
    """Import what is at `path`: a folder of the old product, one file of it, or an export (`.jsonl`).

    Args:
        ledger: Where the tasks go.
        path: Read only.
        max_attempts: Of the tasks that a person may let run now.
        progress: Called with the number of entries read so far.

    Raises:
        NotFoundError: There is nothing at `path`, or it cannot be read.
        LedgerError: The ledger does not answer; what was taken in full transactions stays, and counts as known later.
    """
    report = ImportReport()
    dependencies: list[tuple[str, str]] = []
    count = 0
    entries = read_entries(path)
    while batch := _next_batch(entries, path):
        with ledger.write() as tx:
            tx.exclusive("import")
            for entry in batch:
                _take(tx, entry, report, max_attempts, dependencies)
        count += len(batch)
        progress(count)
    if dependencies:  # what a task waits for may stand further down than the task
        with ledger.write() as tx:
            for pair in dependencies:
                _depend(tx, *pair)
    return report


def _next_batch(entries: Iterator[Entry], path: Path) -> list[Entry]:
    try:
        return list(islice(entries, AT_ONCE))
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read: {error.strerror}",
            hint="name the folder ~/.squire/tasks, a file of it, or an export",
        ) from error


def _take(
    tx: Transaction, entry: Entry, report: ImportReport, max_attempts: int, dependencies: list[tuple[str, str]]
) -> None:
    if entry.problem:
        report.skip(entry, entry.problem)
        return
    facts = entry.facts or {}
    try:
        waits_for = _waits_for(facts)
        with tx.connection.begin_nested():  # an entry is taken whole or not at all
            if entry.old is None:
                status = _take_facts(tx, facts)
            else:
                status = _take_old(tx, entry, entry.old, max_attempts, report)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, StatementError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        report.skip(entry, _reason(error))
        return
    if status is None:
        report.known += 1
    else:
        report.taken[status] = report.taken.get(status, 0) + 1
        dependencies += waits_for


def _waits_for(facts: dict[str, Any]) -> list[tuple[str, str]]:
    others = facts.get("depends_on") or []
    if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
        raise ValueError("depends_on is no list of ids")
    return [(str(facts["task"]["id"]), other) for other in others if other != facts["task"]["id"]]


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    text = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
    return text or type(error).__name__


# ── The old product ────────────────────────────────────────────────────────────────────────────────────────────────


def _take_old(tx: Transaction, entry: Entry, old: OldTask, max_attempts: int, report: ImportReport) -> str | None:
    fingerprint = hashlib.sha256(f"old\n{old.id}".encode()).hexdigest()[:32]
    if find_by_fingerprint(tx, old.repo, fingerprint) is not None:
        return None
    status, cause, message = _status_of(old)
    title = _title(old.prompt)
    task_id = new_id("t", old.created_at)
    base = _base_branch(tx, old, report)
    spec = TaskSpec(key="imported", title=title, kind=TaskKind.MANUAL, prompt=old.prompt, base_branch=base)
    keeps_branch = status is not TaskStatus.PROPOSED and old.branch and len(old.branch) <= _MAX_BRANCH
    ended = _end_of(old) if status.is_final else None
    trace_id = new_trace_id()
    tx.execute(
        insert(tasks).values(
            id=task_id,
            repository=old.repo,
            status=status,
            kind=spec.kind,
            title=title,
            priority=int(spec.priority),
            fingerprint=fingerprint,
            spec=spec.model_dump(mode="json"),
            branch=old.branch if keeps_branch else branch_name(task_id, title),
            base_branch=spec.base_branch,
            attempts=0,
            max_attempts=max_attempts,
            cause=cause,
            message=message,
            trace_id=trace_id,
            created_at=old.created_at,
            ended_at=ended,
            updated_at=tx.now,
        )
    )
    reason = f"task {old.id} of the old product, {old.status} there ({entry.file})"
    event = EventContext(task_id=task_id, actor=ACTOR, reason=reason, trace_id=trace_id)
    record_event(tx, EventSubject.TASK, None, status, event)
    if old.status in {"running", "dispatched"}:
        report.note("ran in the old product when it was imported: look at it, then `squire tasks retry`")
    number = _pr_number(old)
    if status is not TaskStatus.SUCCEEDED or number is None:
        return status
    others = select(outcomes.c.task_id).where(outcomes.c.repository == old.repo, outcomes.c.pr_number == number)
    if tx.execute(others).first() is not None:
        report.note("has the pull request of another task, which keeps it")
        return status
    state = _state_of(old)
    last_change = old.pr_merged_at or old.pr_closed_at or ended or old.created_at
    tx.execute(
        insert(outcomes).values(
            task_id=task_id,
            repository=old.repo,
            pr_number=number,
            pr_url=old.pr_url or f"https://github.com/{old.repo}/pull/{number}",
            head_sha="",
            state=state,
            checks="failed" if old.ci_failed else None,
            opened_at=ended or old.created_at,
            merged_at=old.pr_merged_at if state is PullRequestState.MERGED else None,
            closed_at=old.pr_closed_at if state is PullRequestState.CLOSED else None,
            # Any report of GitHub's is later than what the old product saw.
            forge_updated_at=last_change - timedelta(days=1),
            updated_at=tx.now,
        )
    )
    record_event(tx, EventSubject.OUTCOME, None, state, event)
    return status


def _status_of(old: OldTask) -> tuple[TaskStatus, Cause | None, str | None]:
    """Return the state that an old task gets here, with its cause and message."""
    if old.status == "pending":
        return TaskStatus.PROPOSED, None, None
    if old.status == "completed" or (old.status != "failed" and _pr_number(old) is not None):
        return TaskStatus.SUCCEEDED, Cause.COMPLETED, "imported from the old product"
    if old.status == "failed":
        return TaskStatus.FAILED, Cause.AGENT_ERROR, old.error or "it failed in the old product, which gave no reason"
    # Nobody watches its container any more, and we never held a lease of it.
    message = "it ran in the old product when it was imported; what became of it is not known"
    return TaskStatus.FAILED, Cause.LOST, message


def _end_of(old: OldTask) -> datetime:
    return old.completed_at or old.started_at or old.created_at


def _state_of(old: OldTask) -> PullRequestState:
    if old.pr_merged or old.pr_merged_at:
        return PullRequestState.MERGED
    return PullRequestState.CLOSED if old.pr_closed or old.pr_closed_at else PullRequestState.OPEN


def _pr_number(old: OldTask) -> int | None:
    if old.pr_number is not None:
        return old.pr_number
    last = (old.pr_url or "").rstrip("/").rpartition("/pull/")[2]
    return int(last) if last.isdecimal() and len(last) < 10 and int(last) > 0 else None  # noqa: PLR2004 - an integer's digits


def _title(prompt: str) -> str:
    first = next((" ".join(line.split()) for line in prompt.splitlines() if line.strip()), "")
    if not first:
        raise ValueError("prompt is empty")
    return first if len(first) <= _MAX_TITLE else first[: _MAX_TITLE - 1] + "…"


def _base_branch(tx: Transaction, old: OldTask, report: ImportReport) -> str:
    if old.base_branch and old.base_branch != "auto":
        return old.base_branch
    newest = (
        select(tasks.c.base_branch).where(tasks.c.repository == old.repo).order_by(tasks.c.created_at.desc()).limit(1)
    )
    known = tx.execute(newest).scalar_one_or_none()
    if known is None and old.status == "pending":
        report.note("names no base branch: main is assumed")
    return str(known or "main")


# ── An export ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _take_facts(tx: Transaction, facts: dict[str, Any]) -> str | None:
    if facts["squire_task"] != FORMAT:
        raise ValueError(f"the format of the export is {str(facts['squire_task'])[:20]!r}, this Squire reads {FORMAT}")
    row = _task_row(facts["task"])
    same_id = tx.execute(select(tasks.c.id).where(tasks.c.id == row["id"])).first()
    if same_id is not None or find_by_fingerprint(tx, row["repository"], row["fingerprint"]) is not None:
        return None
    if row.get("plan_id") and tx.execute(select(plans.c.id).where(plans.c.id == row["plan_id"])).first() is None:
        row["plan_id"] = None
    tx.execute(insert(tasks).values(row))
    for part, table in PARTS.items():
        for values in facts.get(part) or ():
            part_row = _row(table, values)
            if part_row.get("task_id") != row["id"]:
                raise ValueError(f"{part} has a row of another task")
            tx.execute(insert(metadata.tables[table]).values(part_row))
    return TaskStatus(row["status"])


def _task_row(values: Any) -> dict[str, Any]:
    row = _row("tasks", values)
    TaskStatus(row["status"])
    TaskSpec.model_validate(row["spec"])
    for name in ("id", "repository", "fingerprint", "title"):
        if not isinstance(row[name], str) or not row[name]:
            raise ValueError(f"task.{name} is no text")
    return row


def _depend(tx: Transaction, task_id: str, other: str) -> None:
    """Record that a task waits for another, if the ledger has both."""
    count = len(tx.execute(select(tasks.c.id).where(tasks.c.id.in_([task_id, other]))).all())
    known = (task_dependencies.c.task_id == task_id) & (task_dependencies.c.depends_on == other)
    if count > 1 and tx.execute(select(task_dependencies).where(known)).first() is None:
        tx.execute(insert(task_dependencies).values(task_id=task_id, depends_on=other))


def _row(table: str, values: Any) -> dict[str, Any]:
    """Return a row as its table takes it. Raises ValueError for a column that an export does not have."""
    columns = metadata.tables[table].columns
    row = {_RENAMED.get((table, name), name): value for name, value in dict(values).items()}
    for name, value in row.items():
        if name not in columns or name in LEFT_OUT.get(table, ()):
            raise ValueError(f"{table} has no {str(name)[:40]!r}")
        kind = columns[name].type
        if value is None:
            continue
        try:
            row[name] = _checked(kind, _NAMED.get((table, name)), value)
        except ValueError as error:
            raise ValueError(f"{table}.{name} = {str(value)[:60]!r}: {error}") from None
    return row


def _checked(kind: Any, named: type[StrEnum] | None, value: Any) -> Any:
    """Return a value as a column takes it. SQLite would store any, and reading it would fail ever after."""
    if named is not None:
        return named(value)
    if isinstance(kind, UtcDateTime | DateTime):
        return parse_moment(value)
    if isinstance(kind, JSON):
        return value
    expected = next(types for columns, types in _PLAIN if isinstance(kind, columns))
    if type(value) not in expected:
        raise ValueError("is of another type")
    if isinstance(value, int | float) and not abs(value) < 2**63:
        raise ValueError("is too large")
    return value
