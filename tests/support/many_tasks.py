"""Rows of tasks in any number, as a ledger would have them, and the list's answer as plain Python gives it."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from squire_pipelines.domain.identity import new_id
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import tasks
from squire_pipelines.ledger.task_query import COLUMNS, DESCENDING, FINAL_STATUSES, SortOrder, TaskQuery
from squire_pipelines.ledger.words import words_of

START = datetime(2025, 1, 1, tzinfo=UTC)
STATUS_SHARES = {"succeeded": 70, "failed": 20, "cancelled": 8, "proposed": 1, "ready": 0.9, "running": 0.1}
KIND_SHARES = {"fix_ci": 30, "address_review": 30, "resolve_issue": 25, "manual": 10, "other": 5}
PRIORITY_SHARES = {0: 1, 1: 9, 2: 70, 3: 20}
CAUSES = {"succeeded": ("completed",), "failed": ("agent_error", "timeout"), "cancelled": ("cancelled",)}
VERBS = ("Fix", "Improve", "Remove", "Document", "Test")
NOUNS = ("parser", "ledger", "sandbox", "webhook", "planner", "cache", "header", "timer", "socket", "index")
SPEC = {"key": "k", "title": "A task", "prompt": "Please do it.", "base_branch": "main"}


def task_rows(
    count: int, *, seed: int = 1, span: timedelta = timedelta(days=365), even: bool = False
) -> Iterator[dict[str, Any]]:
    """Tasks over `span`, oldest first: of 200 repositories, most with few tasks; `even` makes all shares alike."""
    chance = random.Random(seed)  # noqa: S311 - sample rows

    def one(shares: Mapping[Any, float]) -> Any:
        return chance.choices(list(shares), None if even else list(shares.values()))[0]

    for number in range(count):
        created = START + span * number / count
        status, kind, priority = one(STATUS_SHARES), one(KIND_SHARES), one(PRIORITY_SHARES)
        ended = created + timedelta(minutes=chance.randrange(1, 6000)) if status in FINAL_STATUSES else None
        task_id = new_id("t", created)
        repository = f"acme/repo{min(int(chance.expovariate(0.1)), 199) % (3 if even else 200)}"
        title = f"Task: {chance.choice(VERBS)} the {chance.choice(NOUNS)} number {number % 5000}"
        yield {
            "id": task_id,
            "repository": repository,
            "status": status,
            "kind": kind,
            "title": title,
            "priority": priority,
            "fingerprint": f"{number:032x}",
            "spec": {**SPEC, "title": title, "kind": kind},
            "branch": f"squire/{task_id}",
            "base_branch": "main",
            "attempts": 1 if ended else 0,
            "max_attempts": 3,
            "cause": chance.choice(CAUSES[status]) if status in CAUSES else None,
            "trace_id": "ab" * 16,
            "created_at": created,
            "ready_at": None if status == "proposed" else created,
            "ended_at": ended,
            "updated_at": (ended or created) + timedelta(minutes=chance.randrange(10) if even else 0),
        }


def insert_tasks(ledger: Ledger, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put these rows into the ledger."""
    with ledger.write() as tx:
        tx.execute(insert(tasks), list(rows))


def expected_ids(rows: Sequence[Mapping[str, Any]], query: TaskQuery) -> list[str]:
    """The ids of the whole list, all pages, by looking at every row."""
    matches = [row for row in rows if _fits(row, query)]
    columns = COLUMNS[query.order]
    matches.sort(key=lambda row: tuple(row[name] for name in columns), reverse=query.order in DESCENDING)
    return [row["id"] for row in matches]


def _fits(row: Mapping[str, Any], query: TaskQuery) -> bool:
    words = words_of(query.text)
    return (
        (not query.statuses or row["status"] in query.statuses)
        and (not query.kinds or row["kind"] in query.kinds)
        and (not query.causes or row["cause"] in query.causes)
        and (not query.repository or row["repository"].lower() == query.repository.lower())
        and _within(row["created_at"], query.created_since, query.created_until)
        and _within(row["ended_at"], query.ended_since, query.ended_until)
        and set(words) <= set(words_of(row["title"]))
        and not (query.text.strip() and not words)
    )


def _within(moment: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    if moment is None:
        return since is None and until is None
    return (since is None or moment >= since) and (until is None or moment < until)


EVERY_ORDER = tuple(SortOrder)
