"""How our pull requests ended, in both databases: what is to be judged, what is recorded, what was taken back."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import update

from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.pull_endings import JudgedEnding, PullEnding
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger import attempts, ended_pulls, outcomes, pull_reverts, task_signals, tasks
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
        assert pull_reverts.record_revert_commit(tx, task_id, REVERT, actor="x")
        assert not pull_reverts.record_revert_commit(tx, task_id, REVERT, actor="x")
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


def test_a_push_that_takes_something_back_has_the_base_looked_through_at_once(ledger: Ledger, clock: Clock) -> None:
    open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        ended_pulls.record_look(tx, [merged.task_id])
        assert not ended_pulls.has_merged_into(tx, REPOSITORY, "main"), "nobody knows the merge's commit yet"
        ended_pulls.record_ending(tx, merged, UNCHANGED, merge_sha=MERGE)
        assert not ended_pulls.has_merged_into(tx, REPOSITORY, "other")
        ended_pulls.wake_reverts(tx, REPOSITORY, "other")
        assert ended_pulls.to_look_for_reverts(tx) == ()
        assert ended_pulls.has_merged_into(tx, REPOSITORY, "main")
        ended_pulls.wake_reverts(tx, REPOSITORY, "main")
        assert len(ended_pulls.to_look_for_reverts(tx)) == 1


def test_a_look_for_reverts_that_dies_is_tried_soon_and_a_push_meanwhile_has_another(
    ledger: Ledger, clock: Clock
) -> None:
    open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        ended_pulls.record_ending(tx, merged, UNCHANGED, merge_sha=MERGE)
        ended_pulls.begin_look_for_reverts(tx, [merged.task_id])
        assert ended_pulls.to_look_for_reverts(tx) == (), "a look is under way"
    clock.now += timedelta(minutes=11)
    with ledger.write() as tx:
        assert len(ended_pulls.to_look_for_reverts(tx)) == 1, "it has died"
        begun = ended_pulls.begin_look_for_reverts(tx, [merged.task_id])
        ended_pulls.wake_reverts(tx, REPOSITORY, "main")
        ended_pulls.end_look_for_reverts(tx, [merged.task_id], begun)
        assert len(ended_pulls.to_look_for_reverts(tx)) == 1, "a push came meanwhile"
        begun = ended_pulls.begin_look_for_reverts(tx, [merged.task_id])
        ended_pulls.end_look_for_reverts(tx, [merged.task_id], begun)
    clock.now += timedelta(minutes=11)
    with ledger.read() as tx:
        assert ended_pulls.to_look_for_reverts(tx) == ()


def revert_by_pull(tx: Transaction, clock: Clock, number: int, *, by: int, base: str = "main") -> tuple[str, ...]:
    clock.now += timedelta(minutes=1)
    return pull_reverts.record_revert_pull(tx, REPOSITORY, [number], base_branch=base, at=clock.now, by=by, actor="x")


def test_a_revert_by_pull_request_keeps_what_people_had_changed_and_can_be_taken_back(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        changed = JudgedEnding(PullEnding.MERGED_CHANGED, "merged", "ann", None, 1, 5, 2)
        ended_pulls.record_ending(tx, merged, changed, merge_sha=MERGE)
        assert revert_by_pull(tx, clock, 8, by=9) == ()
        assert revert_by_pull(tx, clock, 7, by=9, base="release") == (), "it goes into another branch"
        assert revert_by_pull(tx, clock, 7, by=9) == (task_id,)
        row = tx.execute(outcome_table.select()).one()
        assert (row.state, row.ending, row.ended_by_pr, row.people_added) == ("reverted", "reverted", 9, 5)
        assert pull_reverts.has_reverted(tx, REPOSITORY, [9])
        assert revert_by_pull(tx, clock, 9, by=10, base="release") == ()
        assert revert_by_pull(tx, clock, 9, by=10) == (task_id,)
        row = tx.execute(outcome_table.select()).one()
        assert (row.state, row.ending, row.ended_by_pr, row.people_added) == ("merged", "merged_changed", None, 5)
        assert not pull_reverts.has_reverted(tx, REPOSITORY, [9])
        late = clock.now - timedelta(minutes=2)
        again = pull_reverts.record_revert_pull(tx, REPOSITORY, [7], base_branch="main", at=late, by=9, actor="x")
        assert again == (), "the first revert is delivered again"


def test_a_revert_by_a_commit_is_taken_back_by_another(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger, 7)
    with ledger.write() as tx:
        end(tx, clock, 7, PullRequestState.MERGED)
        (merged,) = ended_pulls.unjudged(tx)
        ended_pulls.record_ending(tx, merged, UNCHANGED, merge_sha=MERGE)
        assert not pull_reverts.record_restored(tx, task_id, actor="x"), "nothing took it back"
        assert pull_reverts.record_revert_commit(tx, task_id, REVERT, actor="x")
        assert pull_reverts.record_restored(tx, task_id, actor="x")
        outcome = outcome_of(tx, task_id)
    assert (outcome.state, outcome.ending) == (PullRequestState.MERGED, "merged_unchanged")
