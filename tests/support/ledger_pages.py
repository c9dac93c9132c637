"""How long a page of tasks takes at 1,000, 100,000 and 1,000,000 tasks, on SQLite and on Postgres.

The ledgers on SQLite are built once and kept under `build/bench`.
"""

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, read_page
from squire_pipelines.ledger.words import words_of
from tests.support.figures import ROOT, Figure, percentile
from tests.support.ledgers import PostgresServer, sqlite_ledger_file
from tests.support.many_tasks import START, task_rows

TARGETS_MS = {1_000: 10.0, 100_000: 10.0, 1_000_000: 50.0}
"""The most milliseconds of a page, as the 95th percentile of all filters and orders, by the number of tasks."""

ROUNDS = 15
_BATCH = 20_000
_MIDDLE = START + timedelta(days=180)
SHARED_BUFFERS = "1GB"
"""As of a small server: Postgres' documentation advises a quarter of the memory."""
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "status=failed": {"statuses": ("failed",)},
    "status=running": {"statuses": ("running",)},
    "under way": {"statuses": ("ready", "running")},
    "repository": {"repository": "acme/repo3"},
    "repository, small": {"repository": "acme/repo60"},
    "repository+status": {"repository": "acme/repo3", "statuses": ("failed",)},
    "kind": {"kinds": ("manual",)},
    "kind+status": {"kinds": ("manual",), "statuses": ("failed", "cancelled")},
    "cause": {"causes": ("timeout",)},
    "cause+repository": {"causes": ("timeout",), "repository": "acme/repo3"},
    "created in a week": {"created_since": _MIDDLE, "created_until": _MIDDLE + timedelta(days=7)},
    "created, failed": {"created_since": _MIDDLE, "statuses": ("failed",)},
    "ended until": {"ended_until": _MIDDLE},
    "ended in 12 h": {"ended_since": START + timedelta(days=365, hours=-12)},
    "word in every title": {"text": "task"},
    "word in a tenth": {"text": "parser"},
    "rare word": {"text": "4711"},
    "no such word": {"text": "nowhere"},
    "three words": {"text": "fix parser task"},
    "word+repository": {"text": "task", "repository": "acme/repo3"},
    "word+status": {"text": "parser", "statuses": ("failed",)},
    "word+rare status": {"text": "task", "statuses": ("running",)},
}


def measure(rounds: int = ROUNDS, sizes: Sequence[int] = tuple(TARGETS_MS)) -> list[Figure]:
    """Return the figures of all sizes on both databases."""
    figures: list[Figure] = []
    for size in sizes:
        with closing(_sqlite(size)) as ledger:
            figures += _figures(ledger, f"SQLite, {size:,} tasks", size, rounds)
    server = PostgresServer.start(SHARED_BUFFERS)
    try:
        for size in sizes:
            with _postgres(server, size) as ledger:
                figures += _figures(ledger, f"Postgres, {size:,} tasks", size, rounds)
    finally:
        server.stop()
    return figures


def _figures(ledger: Ledger, name: str, size: int, rounds: int) -> list[Figure]:
    times = pages(ledger, rounds)
    every = [seconds for one in times.values() for seconds in one]
    slowest = sorted(((percentile(one, 0.95), question) for question, one in times.items()), reverse=True)
    for seconds, question in slowest[:5]:
        print(f"{name}: {seconds * 1000:.1f} ms is {question}")  # noqa: T201 - a benchmark's output
    return [
        Figure(f"page of 100, {name}, p95", percentile(every, 0.95) * 1000, "ms", TARGETS_MS[size]),
        Figure(f"page of 100, {name}, p95 of the slowest", slowest[0][0] * 1000, "ms"),
    ]


def pages(ledger: Ledger, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round of each filter and order: the first page, and a page from the middle on."""
    times: dict[str, list[float]] = {}
    for name, filters in FILTERS.items():
        for order in SortOrder:
            first = TaskQuery(order=order, **filters)
            deep = replace(first, after=_middle(ledger, first))
            for place, query in (("first", first), ("deep", deep)):
                if place == "deep" and deep.after is None:
                    continue
                _page(ledger, query)  # a new statement is compiled once
                times[f"{name}, {order}, {place}"] = [_seconds(ledger, query) for _ in range(rounds)]
    return times


def _page(ledger: Ledger, query: TaskQuery) -> TaskPage:
    with ledger.read() as tx:
        return read_page(tx.query_runner(), query, now=tx.now)


def _seconds(ledger: Ledger, query: TaskQuery) -> float:
    began = time.perf_counter()
    _page(ledger, query)
    return time.perf_counter() - began


def _middle(ledger: Ledger, query: TaskQuery) -> str | None:
    """Return a place deep in the list: its fifth page of a thousand, or where it ends."""
    after = None
    for _ in range(5):
        page = _page(ledger, replace(query, limit=1000, after=after))
        if page.next_after is None:
            return after
        after = page.next_after
    return after


# ── Building ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _sqlite(size: int) -> Ledger:
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    building = folder / f"tasks-{size}.building"
    building.unlink(missing_ok=True)
    sqlite_ledger_file(building)
    kept = folder / f"tasks-{_schema_of(building)}-{size}.sqlite"
    if kept.exists():
        building.unlink()
    else:
        _fill_sqlite(building, size)
        building.replace(kept)
    for old in set(folder.glob(f"tasks-*-{size}.sqlite")) - {kept}:
        old.unlink()
    return Ledger(f"sqlite:///{kept}")


def _schema_of(path: Path) -> str:
    """What tells one schema from another, also while a revision is being written."""
    with closing(sqlite3.connect(path)) as db:
        made = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    words = [sorted(re.findall(r"\w+", sql)) for (sql,) in made]  # a migration's constraints come in any order
    return hashlib.sha256(repr(words).encode()).hexdigest()[:12]


def _text(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else value


def _fill_sqlite(path: Path, size: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000", "foreign_keys=OFF"):
            db.execute(f"PRAGMA {pragma}")
        indexes = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'tasks' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:  # created again at the end, which takes a tenth of the time
            db.execute(f"DROP INDEX {name}")
        for columns, rows in _batches(size):
            db.executemany(
                f"INSERT INTO tasks ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 - ours
                [tuple(map(_text, row)) for row in rows],
            )
        for _, sql in indexes:
            db.execute(sql)
        db.commit()
        db.execute("PRAGMA journal_mode=WAL")


def _batches(size: int) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """Yield columns and rows as the drivers take them, past SQLAlchemy."""
    rows = task_rows(size)
    while batch := list(islice(rows, _BATCH)):
        own = [{"spec": json.dumps(row["spec"]), "title_words": " ".join(words_of(row["title"]))} for row in batch]
        yield (*batch[0], "title_words"), [tuple((row | more).values()) for row, more in zip(batch, own, strict=True)]


@contextmanager
def _postgres(server: PostgresServer, size: int) -> Iterator[Ledger]:
    import psycopg  # noqa: PLC0415 - an extra: tests on SQLite do without

    url = server.new_database()
    ledger = Ledger(url)
    ledger.ensure_schema()
    with psycopg.connect(url) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname LIKE 'ix_%'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        for columns, rows in _batches(size):
            with connection.cursor().copy(f"COPY tasks ({', '.join(columns)}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        connection.execute("SET maintenance_work_mem = '256MB'")
        for _, sql in indexes:
            connection.execute(sql.encode())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")  # what filling left to be written is no part of reading
    try:
        yield ledger
    finally:
        ledger.close()
