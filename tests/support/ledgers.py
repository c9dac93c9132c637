"""Ledgers for tests: a clock to move, a Postgres server of our own, and what fills a ledger's tables."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Self

from sqlalchemy import delete, insert, select, text

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.plans import AdmissionRule, ApprovalRule
from squire_pipelines.domain.signals import (
    AnySource,
    Collection,
    CollectionStatus,
    ManualTask,
    OpenIssue,
    Signal,
    Source,
)
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.errors import StateConflictError
from squire_pipelines.home import make_file, make_folder
from squire_pipelines.ledger import (
    attempts,
    budgets,
    bulk,
    collections,
    episodes,
    forgetting,
    plans,
    task_dispatch,
    tasks,
)
from squire_pipelines.ledger.attempts import Attempt, RetryRule
from squire_pipelines.ledger.forgetting import ForgettingAges
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Ledger, Transaction, open_ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import audit, audit_batches, metadata, signals, task_events
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.tasks import Task
from tests.support.audit_trail import unguarded

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TRACE = "ab" * 16
REPOSITORY = "acme/shop"
ALL_APPROVED = ApprovalRule(automatic=True, min_confidence=0, max_risk=Risk.HIGH)
NONE_APPROVED = ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH)
RETRY = RetryRule(base_s=30, cap_s=900)
_numbers = count(1)


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    def forward(self, seconds: float) -> datetime:
        """Let `seconds` pass."""
        self.now += timedelta(seconds=seconds)
        return self.now


def list_tasks(tx: Transaction, query: TaskQuery = TaskQuery()) -> tuple[Task, ...]:  # noqa: B008 - it is frozen
    """Return the tasks of a page."""
    return tuple(tasks.get(tx, task_id) for task_id in read_ids(tx.query_runner(), query)[0])


# ── SQLite ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="squire-ledger-") as folder:
        path = Path(folder) / "ledger.sqlite"
        ledger = Ledger(f"sqlite:///{path}")
        ledger.ensure_schema()
        ledger.close()  # the last connection leaves no WAL behind
        return path.read_bytes()


def folder_in_memory() -> "tempfile.TemporaryDirectory[str]":
    """A folder where the disk's syncing costs nothing, if the machine has one; SQLite does not know the difference."""
    memory = Path("/dev/shm")  # noqa: S108 - inside it a folder of our own, with a random name
    return tempfile.TemporaryDirectory(prefix="squire-ledger-", dir=memory if os.access(memory, os.W_OK) else None)


def sqlite_ledger_file(path: Path) -> Path:
    """Write an empty ledger with its schema to `path`; a hundred times as fast as migrating."""
    path.write_bytes(_migrated_file())
    return path


def new_sqlite_ledger(path: Path) -> Ledger:
    """Open a new, empty ledger at `path`, with the permissions that Squire gives it."""
    make_folder(path.parent)
    make_file(path)
    return open_ledger(f"sqlite:///{sqlite_ledger_file(path)}")


# ── Postgres ───────────────────────────────────────────────────────────────────────────────────────────────────────


class PostgresUnavailableError(Exception):
    """Postgres cannot be started here."""


@dataclass
class PostgresServer:
    """A server process on a random loopback port, its data in a folder of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    _numbers: "count[int]" = field(default_factory=count)
    _migrated: str | None = None
    _sweeper: Any = None

    @staticmethod
    def find_binaries() -> Path:
        """The folder with `initdb` and `postgres`. Raises PostgresUnavailableError."""
        if find_spec("psycopg") is None:
            raise PostgresUnavailableError("psycopg is not installed")
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if programs:
            return programs[-1].parent
        if on_path := shutil.which("initdb"):
            return Path(on_path).resolve().parent
        raise PostgresUnavailableError("its binaries are not installed (apt-get install postgresql)")

    @classmethod
    def start(cls, shared_buffers: str = "32MB") -> Self:
        """Make a cluster and start it. Raises PostgresUnavailableError."""
        binaries = cls.find_binaries()
        folder = Path(tempfile.mkdtemp(prefix="squire-postgres-"))
        try:
            who = _unprivileged(folder)
            _run_initdb(binaries, folder, who)
            for _ in range(5):  # the free port that we found may be taken a moment later
                server = cls._launch(binaries, folder, who, shared_buffers)
                if server._wait_until_ready():
                    return server
                server._end_process()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        log = (folder / "log").read_text(errors="replace")
        shutil.rmtree(folder, ignore_errors=True)
        raise _did_not_start(log)

    @classmethod
    def _launch(cls, binaries: Path, folder: Path, who: dict[str, Any], shared_buffers: str) -> Self:
        port = _free_port()
        return cls(folder, port, cls._spawn(binaries, folder, who, shared_buffers, port))

    @staticmethod
    def _spawn(
        binaries: Path, folder: Path, who: dict[str, Any], shared_buffers: str, port: int
    ) -> "subprocess.Popen[bytes]":
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "150",
            "shared_buffers": shared_buffers,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **who,
            )

    def crash(self) -> None:
        """End the server at once, as `pg_ctl stop -m immediate` does: what was not committed is lost."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=30)

    def start_again(self) -> None:
        """Start a server that has crashed, on its port; it recovers what was committed."""
        binaries, who = self.find_binaries(), _unprivileged(self.folder)
        self.process = self._spawn(binaries, self.folder, who, "32MB", self.port)
        if not self._wait_until_ready():
            raise _did_not_start((self.folder / "log").read_text(errors="replace"))

    def _wait_until_ready(self) -> bool:
        import psycopg  # noqa: PLC0415 - an extra: tests on SQLite do without

        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        return False

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=squire dbname={database}"

    def new_database(self) -> str:
        """The URL of a database with nothing in it."""
        import psycopg  # noqa: PLC0415 - see above

        name = f"ledger_{next(self._numbers)}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://squire@127.0.0.1:{self.port}/{name}"

    def empty_ledger(self) -> str:
        """The URL of the one database with the schema, its tables emptied: much faster than a new one."""
        import psycopg  # noqa: PLC0415 - see above

        if self._migrated is None:
            self._migrated = self.new_database()
            first = Ledger(self._migrated)
            first.ensure_schema()
            first.close()
            self._sweeper = psycopg.connect(self._migrated, autocommit=True)
            self._sweeper.execute("SET session_replication_role = replica")  # triggers refuse to delete an audit trail
        for table in reversed(metadata.sorted_tables):
            self._sweeper.execute(psycopg.sql.SQL("DELETE FROM {}").format(psycopg.sql.Identifier(table.name)))
        return self._migrated

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._sweeper is not None:
            self._sweeper.close()
        self._end_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_process(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)


def _did_not_start(log: str) -> PostgresUnavailableError:
    return PostgresUnavailableError(f"it did not start: {log.strip()[-300:]}")


def _run_initdb(binaries: Path, folder: Path, who: dict[str, Any]) -> None:
    made = subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "squire", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=120,
        **who,
    )
    if made.returncode:
        raise _did_not_start(made.stderr.decode(errors="replace"))


def _unprivileged(folder: Path) -> dict[str, Any]:
    """What makes a child process run as an ordinary user, since Postgres refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise PostgresUnavailableError("it does not run as root, and there is no other user")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_ids_high(ledger: Ledger) -> None:
    """Let all tables of an empty ledger number their rows from a thousand: a test that means row 1 fails always.

    The tables of a shared ledger keep on counting when they are emptied, so it would pass alone and fail after others.
    """
    with ledger.write() as tx:
        is_sqlite = tx.connection.dialect.name == "sqlite"
        for table in metadata.sorted_tables:
            column = table.autoincrement_column
            if column is None:
                continue
            names = {"table": table.name, "column": column.name}
            if not is_sqlite:
                tx.execute(text("SELECT setval(pg_get_serial_sequence(:table, :column), 999)"), names)
            elif table.dialect_options["sqlite"]["autoincrement"]:
                tx.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, 999)"), {"table": table.name})


def empty_tables(ledger: Ledger) -> None:
    """Remove all rows."""
    with ledger.write() as tx:
        has_trail = tx.execute(select(audit.c.id).limit(1)).first() or tx.execute(select(audit_batches.c.id)).first()
        with unguarded(tx) if has_trail else nullcontext():  # which takes longer
            for table in reversed(metadata.sorted_tables):
                tx.execute(delete(table))


# ── What a ledger holds ────────────────────────────────────────────────────────────────────────────────────────────


def spec(key: str = "a", **values: Any) -> TaskSpec:
    """A task as a planner proposes it."""
    defaults: dict[str, Any] = {"title": f"Do {key}", "prompt": f"Please do {key}.", "base_branch": "main"}
    return TaskSpec(key=key, **defaults | values)


def plan(*specs: TaskSpec, repository: str = REPOSITORY) -> Plan:
    """A plan of these tasks."""
    return Plan(repository=repository, planner="rules", signals_digest="0" * 64, tasks=specs)


def issue(number: int = 1, *, version: str = "v1", repository: str = REPOSITORY, title: str = "It is broken") -> Signal:
    """An open issue."""
    return Signal(
        repository=repository,
        key=str(number),
        version=version,
        title=title,
        url=f"https://example.org/{repository}/issues/{number}",
        updated_at=START,
        details=OpenIssue(number=number, author="ann"),
        verdict=StartVerdict(may_start=True, reason="@ann, who has write permission here"),
    )


def wish(key: str = "w1", *, version: str = "v1") -> Signal:
    """What a person typed."""
    return Signal(
        repository=REPOSITORY,
        key=key,
        version=version,
        title="Tidy up",
        url="",
        updated_at=START,
        details=ManualTask(author="ann", body="Tidy up, please."),
    )


def add_old_request(tx: Transaction, signal: Signal) -> None:
    """Store a person's request as ledgers have it from before requests were tasks: a signal of no source."""
    values = {name: getattr(signal, name) for name in ("repository", "kind", "key", "version", "title", "url")}
    moments = dict.fromkeys(("first_seen_at", "last_seen_at", "updated_at"), tx.now)
    tx.execute(insert(signals).values(**values, signal=signal.model_dump(mode="json"), **moments))
    episodes.record(tx, [episodes.Reading(signal.repository, signal.kind, present=(signal,))], trace_id=TRACE)


def reading(
    *signals: Signal,
    status: CollectionStatus = CollectionStatus.FRESH,
    repository: str = REPOSITORY,
    source: AnySource = Source.OPEN_ISSUES,
    truncated: bool = False,
) -> Collection:
    """One reading of a source."""
    failed = not status.source_answered
    return Collection(
        repository=repository,
        source=source,
        status=status,
        started_at=START,
        ended_at=START,
        signals=signals,
        truncated=truncated,
        error_code="github_unavailable" if failed else None,
        error="GitHub did not answer" if failed else None,
    )


def collect(ledger: Ledger, *signals: Signal, **values: Any) -> collections.RecordedCollection:
    """Record a reading."""
    with ledger.write() as tx:
        return collections.record(tx, reading(*signals, **values), trace_id=TRACE, run_id=None)


def admission(approval: ApprovalRule = ALL_APPROVED, max_attempts: int = 3) -> Callable[[str], AdmissionRule]:
    """Return the same rules for each repository, by which tasks of a plan come into the ledger."""
    rule = AdmissionRule(approval, max_attempts)
    return lambda _repository: rule


def add_tasks(
    ledger: Ledger,
    *specs: TaskSpec,
    repository: str = REPOSITORY,
    approval: ApprovalRule = ALL_APPROVED,
    max_attempts: int = 3,
) -> tuple[str, ...]:
    """Plan and admit tasks; their ids in the plan's order."""
    with ledger.write() as tx:
        saved = plans.save(tx, plan(*specs, repository=repository), (), trace_id=TRACE, run_id=None)
        return plans.admit(tx, saved.id, admission(approval, max_attempts))


def add_task(ledger: Ledger, **values: Any) -> str:
    """Add one task that nobody has thought of before; its id."""
    options = {name: values.pop(name) for name in ("repository", "approval", "max_attempts") if name in values}
    (task_id,) = add_tasks(ledger, spec(f"one-{next(_numbers)}", **values), **options)
    return task_id


def forget(ledger: Ledger, keep_s: float = 86_400) -> dict[str, int]:
    """Delete what goes to no archive and is older, or of a task that is gone; return how many rows of each table."""
    keep = timedelta(seconds=keep_s)
    return forgetting.forget(ledger, ForgettingAges(plans=keep, schedules=keep, alerts=keep))


def decide(tx: Transaction, task_id: str, change: bulk.Change, *, actor: str = "ann") -> None:
    """Change one task, as a person does. Raises StateConflictError when its state does not permit it."""
    report = bulk.bulk_update(tx, [task_id], change, actor=actor, trace_id=TRACE)
    for unmatched in report.unmatched:
        raise StateConflictError(unmatched.reason, hint=unmatched.hint)


def dispatch(
    ledger: Ledger,
    *,
    concurrent: int = 100,
    per_repository: int = 100,
    deadline_s: float = 120,
    step_s: float = task_dispatch.PRIORITY_STEP_S,
) -> tuple[Attempt, ...]:
    """Start what can be started."""
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx,
            max_concurrent=concurrent,
            max_per_repository=per_repository,
            claim_deadline_s=deadline_s,
            priority_step_s=step_s,
        )


def start_attempt(ledger: Ledger, *, run_id: str = "run-1", lease_s: float = 60, **values: Any) -> Attempt:
    """A new task's attempt, dispatched and claimed."""
    add_task(ledger, **values)
    return claim(ledger, dispatch(ledger)[-1].id, run_id=run_id, lease_s=lease_s)


def claim(ledger: Ledger, attempt_id: str, *, run_id: str = "run-1", lease_s: float = 60) -> Attempt:
    """Take an attempt."""
    with ledger.write() as tx:
        return attempts.claim(tx, attempt_id, run_id=run_id, lease_s=lease_s)


def token_of(attempt: Attempt) -> str:
    """The fencing token of an attempt that is held."""
    assert attempt.lease_token
    return attempt.lease_token


def settle(ledger: Ledger, attempt: Attempt, cause: Cause, message: str = "so it ended") -> attempts.Settled:
    """End an attempt that is held."""
    with ledger.write() as tx:
        ending = Ending(cause=cause, message=message)
        return attempts.settle(tx, attempt.id, token_of(attempt), ending, retry=RETRY, actor="run:run-1")


def reservation(tx: Transaction, reservation_id: str) -> budgets.Reservation | None:
    """What is reserved and spent for an attempt or a plan."""
    return next((row for row in budgets.reservations(tx) if row.id == reservation_id), None)


def rows_as_told_by_events(ledger: Ledger) -> tuple[dict[str, str], dict[str, str]]:
    """The states of all tasks and attempts as their events tell them; each event must begin where the last ended."""
    states: dict[str, dict[str, str]] = {"task": {}, "attempt": {}}
    with ledger.read() as tx:
        rows: Sequence[Any] = tx.execute(select(task_events).order_by(task_events.c.id)).all()
    for row in rows:
        if row.subject not in states:
            continue
        name = row.task_id if row.subject == "task" else row.attempt_id
        assert states[row.subject].get(name) == row.before, f"{row.subject} {name}: a gap before event {row.id}"
        states[row.subject][name] = row.after
    return states["task"], states["attempt"]


def rows_as_stored(ledger: Ledger) -> tuple[dict[str, str], dict[str, str]]:
    """The states of all tasks and attempts as their rows have them."""
    with ledger.read() as tx:
        stored_tasks = {row.id: row.status for row in tx.execute(select(task_table.c.id, task_table.c.status))}
        stored = {row.id: row.status for row in tx.execute(select(attempt_table.c.id, attempt_table.c.status))}
    return stored_tasks, stored


@contextmanager
def as_nobody() -> Iterator[None]:
    """Go on without root's leave to do everything."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
