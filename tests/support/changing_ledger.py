"""A ledger to which things happen, as values: for tests that compare what is made of it in two ways."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import duckdb
from sqlalchemy import delete, insert, select, update

from squire_pipelines.domain.base_checks import BaseStep, BaseVerdict
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.merging import MergeDecision, MergeMethod, MergeProgress, MergeWay
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.domain.timings import Timings
from squire_pipelines.ledger import attempts, base_watches, deliveries, merges, outcomes
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata, model_calls, task_events, tasks
from squire_pipelines.warehouse import schema
from tests.support.deliveries import record_delivery
from tests.support.ledgers import (
    NONE_APPROVED,
    TRACE,
    Clock,
    add_tasks,
    claim,
    collect,
    dispatch,
    issue,
    settle,
    spec,
    token_of,
)

OF_A_TASK: Mapping[str, str] = {
    "task_dependencies": "task_id",
    "task_events": "task_id",
    "model_calls": "task_id",
    "outcomes": "task_id",
    "merges": "task_id",
    "base_watches": "task_id",
    "budgets": "task_id",
    "attempts": "task_id",
    "tasks": "id",
}
"""Tables with rows of one task, those first that refer to others."""


class ChangingLedger:
    """Every method is something that happens; where it cannot, nothing does."""

    def __init__(self, ledger: Ledger, clock: Clock, archive: Path) -> None:
        self.ledger = ledger
        self.clock = clock
        self.archive = archive
        self.number = 0

    def plan(self, count: int) -> None:
        """New tasks, each depends on the one before."""
        self.number += 1
        names = [f"{self.number}-{index}" for index in range(count)]
        add_tasks(
            self.ledger,
            *(
                spec(
                    name,
                    title=name,
                    depends_on=(names[index - 1],) if index else (),
                    signals=(f"open_issue:{index}", f"manual:{name}"),
                )
                for index, name in enumerate(names)
            ),
            repository=f"acme/shop-{count}",
        )

    def propose(self, _: int) -> None:
        """A task that nobody has approved."""
        self.number += 1
        add_tasks(self.ledger, spec(f"{self.number}-p"), approval=NONE_APPROVED)

    def dispatch(self, _: int) -> None:
        """Start what can be started."""
        for queued in dispatch(self.ledger):
            attempt = claim(self.ledger, queued.id, lease_s=10**7)
            with self.ledger.write() as tx:
                attempts.note(
                    tx,
                    attempt.id,
                    token_of(attempt),
                    AttemptFacts(agent_started_at=tx.now, timings=Timings(create_s=0.5, start_s=1)),
                )
                record_model_call(
                    tx,
                    ModelCallRow(
                        purpose="agent",
                        model="m",
                        ok=True,
                        input_tokens=3,
                        output_tokens=5,
                        latency_s=0.25,
                        trace_id=TRACE,
                        repository=attempt.repository,
                        task_id=attempt.task_id,
                        attempt_id=attempt.id,
                        cost_usd=0.125,
                    ),
                )

    def settle(self, how: int) -> None:
        """End the oldest attempt under way."""
        with self.ledger.read() as tx:
            running = running_tasks(tx)
        if not running:
            return
        with self.ledger.read() as tx:
            attempt = attempts.of_task(tx, running[0])[-1]
        cause = (Cause.COMPLETED, Cause.TIMEOUT, Cause.LOST)[how % 3]
        if cause is Cause.COMPLETED:
            self.number += 1
            with self.ledger.write() as tx:
                attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(agent_ended_at=tx.now, head_sha="a" * 40))
                outcomes.record_opened(
                    tx,
                    task_id=attempt.task_id,
                    repository=attempt.repository,
                    pr_number=self.number,
                    pr_url="https://example.org/1",
                    head_sha="a" * 40,
                )
        settle(self.ledger, attempt, cause)

    def report(self, how: int) -> None:
        """GitHub says what became of the newest pull request."""
        table = metadata.tables["outcomes"]
        with self.ledger.write() as tx:
            row = tx.execute(select(table).order_by(table.c.pr_number.desc())).first()
            if row is None:
                return
            state = (PullRequestState.MERGED, PullRequestState.CLOSED)[how % 2]
            outcomes.apply_report(
                tx,
                PullRequestReport(
                    repository=row.repository,
                    number=row.pr_number,
                    url=row.pr_url,
                    head_ref="b",
                    head_sha=("a" if how % 3 else "b") * 40,
                    state=state,
                    updated_at=tx.now + timedelta(days=1),
                    merged_at=tx.now if state is PullRequestState.MERGED else None,
                ),
                actor="webhook",
            )
            self._merge(tx, row.task_id, how)

    def _merge(self, tx: Transaction, task_id: str, how: int) -> None:
        """Squire had it merged, or somebody else did, and the base branch's checks are known."""
        outcome = outcomes.get(tx, task_id)
        if outcome is None or outcome.state is not PullRequestState.MERGED:
            return
        if how % 4 == 0:
            asks = MergeDecision(MergeProgress.REQUESTED, "", way=MergeWay.DIRECT, method=MergeMethod.SQUASH)
            merges.begin_request(tx, outcome, asks, outcome.head_sha)
            merges.record_merged(tx, outcome)
        for watched in base_watches.due(tx):
            base_watches.record_step(tx, watched, BaseStep(BaseVerdict.PASSED, "passed"), merge_sha=None)

    def read(self, how: int) -> None:
        """A source is read: other signals than before."""
        collect(self.ledger, *(issue(number, version=f"v{how}") for number in range(how % 4)))

    def deliver(self, how: int) -> None:
        """A delivery comes, and an earlier one is dealt with."""
        self.number += 1
        record_delivery(
            self.ledger,
            source="github",
            delivery_id=f"d-{self.number}",
            event="push",
            action=None,
            repository="acme/shop",
            body=b"{}",
        )
        with self.ledger.write() as tx:
            deliveries.mark_collected(tx, [self.number // 2])
            record_audit(tx, actor="ann", action="look", subject=str(how), detail={"n": how}, trace_id=TRACE)

    def late(self, seconds: int) -> None:
        """Rows come with times from before, as a transaction leaves them that was committed late."""
        # No two transactions have the same time, to the microsecond: by it a row's versions are told apart.
        self.number += 1
        at = self.clock.now - timedelta(seconds=seconds) + timedelta(microseconds=self.number)
        with self.ledger.write() as tx:
            row = tx.execute(select(tasks.c.id).order_by(tasks.c.id)).first()
            if row is None:
                return
            event = {"task_id": row.id, "subject": "outcome", "after": "open", "actor": "a", "reason": "r"}
            tx.execute(insert(task_events).values(**event, trace_id=TRACE, at=at))
            # A call's time may be from long before: it is recorded when its attempt has ended.
            call = {"purpose": "plan", "model": "m", "ok": True, "input_tokens": 1, "output_tokens": 1, "latency_s": 1}
            tx.execute(insert(model_calls).values(**call, estimated=False, trace_id=TRACE, at=at - timedelta(days=30)))
            tx.execute(update(tasks).where(tasks.c.id == row.id).values(message=f"late {seconds}", updated_at=at))

    def archive_one(self, _: int) -> None:
        """Retention: the oldest task that is over leaves the ledger for the archive."""
        with self.ledger.read() as tx:
            row = tx.execute(
                select(tasks)
                .where(tasks.c.ended_at.is_not(None))
                .where(tasks.c.id.not_in(select(metadata.tables["task_dependencies"].c.depends_on)))
                .order_by(tasks.c.ended_at, tasks.c.id)
            ).first()
        if row is None:
            return
        self.number += 1
        self.write_archive(row.id, f"{row.ended_at:%Y-%m-%d}-{self.number:06}.parquet")
        with self.ledger.write() as tx:
            for table, column in OF_A_TASK.items():
                tx.execute(delete(metadata.tables[table]).where(metadata.tables[table].c[column] == row.id))
            kept = metadata.tables["archived_tasks"]
            values = {name: getattr(row, name) for name in set(kept.columns.keys()) & set(tasks.columns.keys())}
            tx.execute(insert(kept).values(**values, archived_at=tx.now))

    def write_archive(self, task_id: str, name: str) -> None:
        """The rows of one task as files of the archive."""
        with duckdb.connect() as connection, self.ledger.read() as tx:
            schema.create_tables(connection)
            for table, column in OF_A_TASK.items():
                copy = schema.table_copy(connection, table)
                rows = tx.execute(copy.query.where(metadata.tables[table].c[column] == task_id)).all()
                if not rows:
                    continue
                connection.execute(copy.insert_into(table), [list(values) for values in zip(*rows, strict=True)])
                (self.archive / table).mkdir(parents=True, exist_ok=True)
                connection.execute(f"COPY {table} TO '{self.archive / table / name}' (FORMAT parquet)")

    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.forward(seconds)


def running_tasks(tx: Transaction) -> list[str]:
    """The tasks that run, oldest first."""
    return list(
        tx.execute(select(tasks.c.id).where(tasks.c.status == TaskStatus.RUNNING).order_by(tasks.c.id)).scalars()
    )


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table and view of a warehouse, sorted, but for what the file says of its own making."""
    tables = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in (
            *schema.TABLES,
            *schema.DERIVED,
            *schema.ROLLED_UP,
            "targets",
            "held_back",
            "repositories",
            *schema.METRICS,
        ):
            rows = connection.execute(f"FROM {name}").fetchall()
            plain = [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in rows]
            tables[name] = sorted(plain, key=repr)
        tables["_publication"] = connection.execute(
            "SELECT watermark, published_at, schema_version, ledger, tables_digest FROM _publication"
        ).fetchall()
    return tables
