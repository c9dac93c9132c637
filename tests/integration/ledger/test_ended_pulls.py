"""How our pull requests ended, in both databases: what is to be judged, what is recorded, what was taken back."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import update

from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.pull_endings import JudgedEnding, PullEnding
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger import attempts, ended_pulls, outcomes, task_signals, tasks
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import outcomes as outcome_table
from tests.support.ledgers import REPOSITORY, Clock, start_attempt, token_of

BASE, MERGE, REVERT = "b" * 40, "c" * 40, "d" * 40
UNCHANGED = JudgedEnding(PullEnding.MERGED_UNCHANGED, "merged by ann", "ann", None, 0, 0, 0)


def open_pull(ledger: Ledger, number: int, *, signal: str | None = None) -> str:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        facts = AttemptFacts(head_sha=f"{number}" * 40, base_sha=BASE, pr_number=number, pr_url="https://x")
        attempts.note(tx, attempt.id, token_of(attempt), facts)
        outcomes.record_opened(
            tx,
            task_id=attempt.task_id,
            repository=REPOSITORY,
            pr_number=number,
            pr_url="https://x",
            head_sha=f"{number}" * 40,
        )
        if signal is not None:
            task_signals.record(tx, REPOSITORY, attempt.task_id, {signal: "1"})
    return attempt.task_id


def end(tx: Transaction, clock: Clock, number: int, state: PullRequestState) -> None:
    at = clock.now
    report = PullRequestReport(
        repository=REPOSITORY,
        number=number,
        url="https://x",
        head_ref="squire/x",
        head_sha=f"{number}" * 40,
        state=state,
        updated_at=at,
        closed_at=None if state is PullRequestState.OPEN else at,
        merged_at=at if state is PullRequestState.MERGED else None,
    )
    outcomes.apply_report(tx, report, actor="poll")


def outcome_of(tx: Transaction, task_id: str) -> Outcome:
    outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    return outcome


def test_a_merge_is_judged_once_kept_in_the_history_and_taken_back_by_a_commit_of_its_base(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = open_pull(ledger, 7)
    with ledger.write() as tx:
        assert ended_pulls.unjudged(tx) == ()
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        assert merged.own_heads == ("7" * 40,)
        ended_pulls.record_look(tx, [task_id])
        assert ended_pulls.unjudged(tx) == (), "it waits after a look in vain"
        assert ended_pulls.record_ending(tx, merged, UNCHANGED, merge_sha=MERGE)
        assert ended_pulls.to_look_for_reverts(tx) == (), "it was looked at just now"
    clock.now += ended_pulls.REVERTS_EVERY + timedelta(seconds=1)
    with ledger.write() as tx:
        (looked_for,) = ended_pulls.to_look_for_reverts(tx)
        assert looked_for.merge_sha == MERGE
        by_commit = {MERGE: REVERT, "e" * 40: REVERT}
        assert ended_pulls.record_revert_commits(tx, REPOSITORY, "other", by_commit, actor="x") == ()
        assert ended_pulls.record_revert_commits(tx, REPOSITORY, "main", by_commit, actor="x") == (task_id,)
        assert ended_pulls.record_revert_commits(tx, REPOSITORY, "main", by_commit, actor="x") == ()
        outcome = outcome_of(tx, task_id)
        events = [(e.before, e.after, e.reason) for e in tasks.events(tx, task_id) if e.subject == EventSubject.ENDING]
    assert (outcome.state, outcome.ending) == (PullRequestState.REVERTED, "reverted")
    assert events == [
        (None, "merged_unchanged", "merged by ann"),
        ("merged_unchanged", "reverted", "reverted by the commit dddddddddddd"),
    ]


def test_one_that_is_opened_again_has_not_ended(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.CLOSED)
        (closed,) = ended_pulls.unjudged(tx)
        ended_pulls.record_ending(tx, closed, JudgedEnding(PullEnding.CLOSED_BY_PERSON, "closed by ann", "ann"))
        clock.now += timedelta(seconds=1)
        end(tx, clock, 7, PullRequestState.OPEN)
        assert outcome_of(tx, task_id).ending is None
        assert not ended_pulls.record_ending(tx, closed, UNCHANGED), "it is open"
        clock.now += timedelta(seconds=1)
        end(tx, clock, 7, PullRequestState.CLOSED)
        assert len(ended_pulls.unjudged(tx)) == 1
    clock.now += timedelta(days=8)
    with ledger.read() as tx:
        assert ended_pulls.unjudged(tx) == (), "after a week nobody finds out any more"


def test_a_later_task_for_the_same_fact_supersedes_and_a_part_of_the_same_plan_does_not(
    ledger: Ledger, clock: Clock
) -> None:
    first = open_pull(ledger, 7, signal="open_issue:5")
    clock.now += timedelta(minutes=1)
    later = open_pull(ledger, 8, signal="open_issue:5")
    open_pull(ledger, 9, signal="open_issue:6")
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.CLOSED)
        (pull,) = ended_pulls.unjudged(tx)
        assert ended_pulls.own_successor(tx, pull) == 8
        assert ended_pulls.own_successor(tx, replace(pull, opened_at=clock.now)) is None
        tx.execute(update(outcome_table).where(outcome_table.c.task_id == later).values(state=PullRequestState.CLOSED))
        assert ended_pulls.own_successor(tx, pull) is None
    assert pull.task_id == first


def test_a_revert_by_pull_request_keeps_what_people_had_changed(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        changed = JudgedEnding(PullEnding.MERGED_CHANGED, "merged", "ann", None, 1, 5, 2)
        ended_pulls.record_ending(tx, merged, changed, merge_sha=MERGE)
        assert ended_pulls.record_revert_pull(tx, REPOSITORY, 8, at=clock.now, by=9, actor="x") is None
        assert ended_pulls.record_revert_pull(tx, REPOSITORY, 7, at=clock.now, by=9, actor="x") == task_id
        row = tx.execute(outcome_table.select()).one()
    assert (row.ending, row.ended_by_pr, row.people_added) == ("reverted", 9, 5)
