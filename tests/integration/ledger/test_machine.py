"""The state machine as a whole: whatever people, runs, crashes and clocks do, its rules hold."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.tasks import AttemptStatus, Priority, TaskStatus
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.ledger import attempts, bulk, outcomes, plans, retention, task_dispatch, tasks
from squire_pipelines.ledger.attempts import AttemptFacts, RetryRule
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.replay import Replay, ReplayedAttempt, ReplayedTask
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import task_dependencies, task_events
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support.ledgers import (
    ALL_APPROVED,
    NONE_APPROVED,
    TRACE,
    Clock,
    admission,
    decide,
    folder_in_memory,
    plan,
    spec,
    sqlite_ledger_file,
)

MAX_CONCURRENT = 4
MAX_PER_REPOSITORY = 2
LEASE_S = 60.0
CLAIM_S = 120.0
Rows = Sequence[Any]
REPOSITORIES = ("acme/a", "acme/b", "acme/c")
# Shorter than any step of the clock: when a task is due must not depend on the random part of its delay.
RETRY = RetryRule(base_s=0.1, cap_s=0.5)
ANY_AGE = retention.Retention({"tasks": timedelta(0)})
CHANGES = (bulk.approve(), bulk.reject("no"), bulk.cancel("enough"), bulk.retry(1))
picks = st.integers(min_value=0, max_value=1000)


class LedgerMachine(RuleBasedStateMachine):
    """People plan, approve, cancel and retry; runs claim, work, crash and settle; the reaper follows the clock.

    A `held` attempt is one whose run believes that it holds it: (id, token). Crashed runs stay in the list, so that
    what they still write must be refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = folder_in_memory()
        self.clock = Clock()
        path = sqlite_ledger_file(Path(self.folder.name) / "ledger.sqlite")
        self.ledger = Ledger(f"sqlite:///{path}", clock=self.clock)
        self.leases: list[tuple[str, str]] = []
        self.planned = 0
        self.tasks: Rows = ()
        self.attempts: Rows = ()

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()

    # ── what is there ──

    def _ids(self, *statuses: TaskStatus) -> list[str]:
        return [row.id for row in self.tasks if row.status in statuses]

    def _attempt_ids(self, *statuses: AttemptStatus) -> list[str]:
        return [row.id for row in self.attempts if row.status in statuses]

    def _holds(self, attempt_id: str, token: str) -> bool:
        with self.ledger.read() as tx:
            attempt = attempts.get(tx, attempt_id)
        return attempt.lease_token == token and attempt.status is not AttemptStatus.ENDED

    # ── people ──

    @initialize(approved=st.booleans())
    def first_plan(self, *, approved: bool) -> None:
        self.plan(repository="acme/a", count=2, approved=approved, chained=True, priority=Priority.MEDIUM, tries=2)

    @rule(
        repository=st.sampled_from(REPOSITORIES),
        count=st.integers(min_value=1, max_value=3),
        approved=st.booleans(),
        chained=st.booleans(),
        priority=st.sampled_from(Priority),
        tries=st.integers(min_value=1, max_value=3),
    )
    def plan(
        self,
        *,
        repository: str,
        count: int,
        approved: bool,
        chained: bool,
        priority: Priority,
        tries: int,
    ) -> None:
        keys = [f"k{self.planned + number}" for number in range(count)]
        self.planned += count
        self.clock.forward(1)  # so that ids, which are partly random, sort in the order of planning
        specs = [
            spec(key, priority=priority, depends_on=tuple(keys[number - 1 : number]) if chained and number else ())
            for number, key in enumerate(keys)
        ]
        with self.ledger.write() as tx:
            saved = plans.save(tx, plan(*specs, repository=repository), (), trace_id=TRACE, run_id=None)
            approval = ALL_APPROVED if approved else NONE_APPROVED
            created = plans.admit(tx, saved.id, admission(approval, tries))
            assert len(created) == count
            assert plans.admit(tx, saved.id, admission(approval, tries)) == ()

    @precondition(lambda self: self._ids(TaskStatus.PROPOSED))
    @rule(pick=picks)
    def approve(self, pick: int) -> None:
        ids = self._ids(TaskStatus.PROPOSED)
        with self.ledger.write() as tx:
            decide(tx, ids[pick % len(ids)], bulk.approve())

    @precondition(lambda self: self.tasks)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        ids = self._ids(*TaskStatus)
        task_id = ids[pick % len(ids)]
        with self.ledger.write() as tx:
            final = tasks.get(tx, task_id).status.is_final
            try:
                tasks.cancel(tx, task_id, actor="ann")
            except StateConflictError:
                assert final
            else:
                assert not final

    @precondition(lambda self: self._ids(TaskStatus.FAILED, TaskStatus.CANCELLED))
    @rule(pick=picks, more=st.integers(min_value=1, max_value=2))
    def retry(self, pick: int, more: int) -> None:
        ids = self._ids(TaskStatus.FAILED, TaskStatus.CANCELLED)
        with self.ledger.write() as tx:
            decide(tx, ids[pick % len(ids)], bulk.retry(more))

    @precondition(lambda self: self.tasks)
    @rule(picked=st.lists(picks, min_size=1, max_size=4), change=st.sampled_from(CHANGES))
    def change_many(self, picked: list[int], change: bulk.Change) -> None:
        ids = [self.tasks[pick % len(self.tasks)].id for pick in picked] + ["tnone"]
        before = {row.id: TaskStatus(row.status) for row in self.tasks}
        with self.ledger.write() as tx:
            report = bulk.bulk_update(tx, ids, change, actor="ann", trace_id=TRACE)
        may = {task_id for task_id in ids if before.get(task_id) in change.expected}
        assert {task_id for changed_ids in report.changed.values() for task_id in changed_ids} == may
        assert {unmatched.task_id for unmatched in report.unmatched} == set(ids) - may

    @precondition(lambda self: self._ids(TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED))
    @rule(pick=picks)
    def archive(self, pick: int) -> None:
        ids = self._ids(TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED)
        gone = ids[pick % len(ids)]
        self.clock.forward(1)
        with self.ledger.write() as tx:
            deleted = retention.delete_tasks(tx, ANY_AGE, retention.marks_of_tasks(tx, [gone]), "archive.parquet")
        if deleted:
            self.leases = [(attempt_id, token) for attempt_id, token in self.leases if not attempt_id.startswith(gone)]

    @precondition(lambda self: self._ids(TaskStatus.SUCCEEDED))
    @rule(
        pick=picks,
        state=st.sampled_from([state for state in PullRequestState if state is not PullRequestState.REVERTED]),
        checks=st.sampled_from(["passed", "failed", None]),
        sha=st.sampled_from(["a" * 40, "b" * 40]),
    )
    def forge_reports(self, *, pick: int, state: PullRequestState, checks: str | None, sha: str) -> None:
        ids = self._ids(TaskStatus.SUCCEEDED)
        self.clock.forward(1)
        with self.ledger.write() as tx:
            outcome = outcomes.get(tx, ids[pick % len(ids)])
            if outcome is not None:
                report = PullRequestReport(
                    repository=outcome.repository,
                    number=outcome.pr_number,
                    url="u",
                    head_ref="squire/x",
                    head_sha=sha,
                    state=state,
                    checks=checks,
                    updated_at=tx.now,
                )
                assert outcomes.apply_report(tx, report, actor="forge") == outcome.task_id

    # ── the machinery ──

    @rule()
    def dispatch(self) -> None:
        with self.ledger.write() as tx:
            task_dispatch.dispatch(
                tx,
                max_concurrent=MAX_CONCURRENT,
                max_per_repository=MAX_PER_REPOSITORY,
                claim_deadline_s=CLAIM_S,
            )

    @precondition(lambda self: self._attempt_ids(*AttemptStatus))
    @rule(pick=picks, again=st.booleans())
    def claim(self, pick: int, *, again: bool) -> None:
        under_way = (AttemptStatus.QUEUED, AttemptStatus.RUNNING, AttemptStatus.PUBLISHING)
        ids = self._attempt_ids(*under_way) or self._attempt_ids(*AttemptStatus)
        attempt_id = ids[pick % len(ids)]
        is_leased = any(name == attempt_id for name, _ in self.leases)
        run_id = f"stray-{attempt_id}" if again and is_leased else f"run-{attempt_id}"  # its own run is the first
        with self.ledger.write() as tx:
            before = attempts.get(tx, attempt_id)
            may = before.status is AttemptStatus.QUEUED or (
                before.status in {AttemptStatus.RUNNING, AttemptStatus.PUBLISHING} and before.run_id == run_id
            )
            try:
                attempt = attempts.claim(tx, attempt_id, run_id=run_id, lease_s=LEASE_S)
            except StateConflictError:
                assert not may
                return
        assert may
        assert attempt.lease_token
        assert attempt.lease_token != before.lease_token
        self.leases.append((attempt_id, attempt.lease_token))

    def _write(self, pick: int, act: Any) -> None:
        """Let one who believes that it holds an attempt write; only the true holder may."""
        attempt_id, token = self.leases[pick % len(self.leases)]
        holds = self._holds(attempt_id, token)
        try:
            with self.ledger.write() as tx:
                act(tx, attempt_id, token)
        except LeaseLostError:
            assert not holds
        else:
            assert holds

    @precondition(lambda self: self.leases)
    @rule(pick=picks)
    def heartbeat(self, pick: int) -> None:
        self._write(pick, lambda tx, attempt, token: attempts.heartbeat(tx, attempt, token, lease_s=LEASE_S))

    @precondition(lambda self: self._attempt_ids(AttemptStatus.RUNNING, AttemptStatus.PUBLISHING))
    @rule(pick=picks)
    def come_back(self, pick: int) -> None:
        """A run is entered again, while a process of its that was thought dead still writes."""
        ids = self._attempt_ids(AttemptStatus.RUNNING, AttemptStatus.PUBLISHING)
        attempt_id = ids[pick % len(ids)]
        old = next(token for leased_id, token in reversed(self.leases) if leased_id == attempt_id)
        with self.ledger.write() as tx:
            new = attempts.claim(tx, attempt_id, run_id=f"run-{attempt_id}", lease_s=LEASE_S).lease_token
        assert new
        self.leases.append((attempt_id, new))
        with pytest.raises(LeaseLostError), self.ledger.write() as tx:
            attempts.heartbeat(tx, attempt_id, old, lease_s=LEASE_S)

    @precondition(lambda self: self.leases)
    @rule(pick=picks, cause=st.sampled_from(Cause))
    def stage(self, pick: int, cause: Cause) -> None:
        ending = Ending(cause=cause, message="staged")
        self._write(pick, lambda tx, attempt, token: attempts.stage_ending(tx, attempt, token, ending))

    @precondition(lambda self: self.leases)
    @rule(pick=picks, opens=st.booleans())
    def publish(self, pick: int, *, opens: bool) -> None:
        def act(tx: Any, attempt_id: str, token: str) -> None:
            attempts.start_publishing(tx, attempt_id, token, head_sha="a" * 40)
            if opens:
                attempt = attempts.get(tx, attempt_id)
                number = int.from_bytes(attempt.task_id.encode()[-6:])
                attempts.note(tx, attempt_id, token, AttemptFacts(pr_number=number))
                outcomes.record_opened(
                    tx,
                    task_id=attempt.task_id,
                    repository=attempt.repository,
                    pr_number=number,
                    pr_url="u",
                    head_sha="a" * 40,
                )

        self._write(pick, act)

    @precondition(lambda self: self.leases)
    @rule(pick=picks, cause=st.sampled_from(Cause))
    def settle(self, pick: int, cause: Cause) -> None:
        def act(tx: Any, attempt_id: str, token: str) -> None:
            ending = attempts.get(tx, attempt_id).staged_ending or Ending(cause=cause, message="found at the end")
            attempts.settle(tx, attempt_id, token, ending, retry=RETRY, actor="run")

        self._write(pick, act)

    @rule(seconds=st.sampled_from([1.0, 61.0, 121.0, 1000.0]))
    def crash_and_reap(self, seconds: float) -> None:
        """Time passes; whoever did not prolong its lease has crashed, as far as anybody can tell."""
        self.clock.forward(seconds)
        with self.ledger.read() as tx:
            gone = attempts.expired(tx)
        for attempt in gone:
            with self.ledger.write() as tx:
                settled = attempts.reap(tx, attempt.id, retry=RETRY, message="its lease ran out")
                assert settled is not None
                after = attempts.get(tx, attempt.id)
            if attempt.staged_ending is None:
                assert after.cause == (Cause.NOT_STARTED if attempt.status is AttemptStatus.QUEUED else Cause.LOST)
            elif attempt.staged_ending.cause is not Cause.COMPLETED or attempt.pr_number is not None:
                assert after.cause == attempt.staged_ending.cause
        with self.ledger.read() as tx:
            assert attempts.expired(tx) == ()

    # ── what always holds ──

    @invariant()
    def rules_hold(self) -> None:
        with self.ledger.read() as tx:
            self.tasks = rows = tx.execute(select(task_table).order_by(task_table.c.id)).all()
            self.attempts = tries = tx.execute(select(attempt_table).order_by(attempt_table.c.id)).all()
            edges = tx.execute(select(task_dependencies)).all()
        by_id = {row.id: row for row in rows}
        for row in rows:
            own = sorted(
                (attempt for attempt in tries if attempt.task_id == row.id), key=lambda attempt: int(attempt.number)
            )
            running = [attempt for attempt in own if attempt.status != AttemptStatus.ENDED]
            assert [attempt.number for attempt in own] == list(range(1, row.attempts + 1))
            assert (len(running) == 1) == (row.status == TaskStatus.RUNNING)
            assert len(running) <= 1
            assert (row.ended_at is not None) == TaskStatus(row.status).is_final
            if TaskStatus(row.status).is_final:
                assert row.cause is not None
        for attempt in tries:
            assert (
                (attempt.status == AttemptStatus.ENDED) == (attempt.cause is not None) == (attempt.ended_at is not None)
            )
            assert (attempt.lease_token is not None) == (
                attempt.status in {AttemptStatus.RUNNING, AttemptStatus.PUBLISHING}
            )
        open_ones = [attempt for attempt in tries if attempt.status != AttemptStatus.ENDED]
        assert len(open_ones) <= MAX_CONCURRENT
        for repository in REPOSITORIES:
            assert sum(attempt.repository == repository for attempt in open_ones) <= MAX_PER_REPOSITORY
        for edge in edges:
            if by_id[edge.task_id].attempts:  # what has run did so after what it waits for had succeeded
                assert by_id[edge.depends_on].status == TaskStatus.SUCCEEDED

    @invariant()
    def events_tell_the_same_as_the_rows(self) -> None:
        with self.ledger.read() as tx:
            history = Replay()
            for event in tx.execute(select(task_events).order_by(task_events.c.id)):
                history.apply(event)
            rows = tx.execute(select(task_table)).all()
            tries = tx.execute(select(attempt_table)).all()
            pull_requests = tx.execute(select(outcome_table)).all()
            assert list(history_problems(tx)) == []
        assert history.problems == []
        assert history.tasks == {
            row.id: ReplayedTask(
                TaskStatus(row.status), row.attempts, row.ended_at, cancel_requested=row.cancel_requested_at is not None
            )
            for row in rows
        }
        assert history.attempts == {
            row.id: ReplayedAttempt(row.task_id, row.number, AttemptStatus(row.status), row.cause, row.ended_at)
            for row in tries
        }
        assert history.outcomes == {row.task_id: (row.state, row.checks) for row in pull_requests}


LedgerMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTheStateMachine = pytest.mark.slow(LedgerMachine.TestCase)
