"""What came of merging bases, in both databases: tries begun once, waits, and what a person has tried again."""

from sqlalchemy import select

from squire_pipelines.domain.base_updates import MAX_MERGE_TRIES, ForeignHead, MergeState
from squire_pipelines.ledger import base_merges
from squire_pipelines.ledger.base_merges import BaseMerge, HeadPair
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import base_merges as table
from squire_pipelines.ledger.telling_tries import next_try
from tests.support.ledgers import Clock, forget

HEAD, BASE, RESULT = "a" * 40, "b" * 40, "c" * 40
PAIR, ALONE = HeadPair("t1", HEAD, BASE), HeadPair("t1", HEAD)


def read(ledger: Ledger) -> tuple[BaseMerge, ...]:
    with ledger.read() as tx:
        return base_merges.of_tasks(tx, ["t1"]).get("t1", ())


def test_a_try_is_begun_once_and_a_killed_one_is_repeated_a_few_times(ledger: Ledger, clock: Clock) -> None:
    for tries in range(1, MAX_MERGE_TRIES + 1):
        with ledger.write() as tx:
            assert base_merges.begin(tx, PAIR)
            assert not base_merges.begin(tx, PAIR), "another process is at it"
        (row,) = read(ledger)
        assert (row.state, row.tries, row.again_at) == (MergeState.REFUSED, tries, next_try(clock.now, tries))
        assert row.is_spent(clock.now) is (tries == MAX_MERGE_TRIES)
        clock.now = next_try(clock.now, tries)
    with ledger.write() as tx:
        base_merges.try_again(tx, "t1")
    assert read(ledger) == ()


def test_what_was_requested_has_its_time_and_what_is_final_none(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        base_merges.begin(tx, PAIR)
        base_merges.record(tx, PAIR, MergeState.REQUESTED)
    (row,) = read(ledger)
    assert row.is_update
    assert row.again_at is not None
    assert row.again_at > clock.now
    with ledger.write() as tx:
        base_merges.record_error(tx, PAIR, "no", is_final=True)
    (row,) = read(ledger)
    assert (row.error, row.is_spent(row.again_at or clock.now)) == ("no", True)
    with ledger.write() as tx:
        base_merges.record_result(tx, PAIR, RESULT)
        base_merges.try_again(tx, "t1")
        base_merges.set_labelled(tx, "t1", labelled=True)
    (row,) = read(ledger)
    assert (row.result_sha, row.labelled) == (RESULT, True), "a head that was pushed stays known"


def test_a_head_that_cannot_be_looked_at_is_somebodys_in_the_end(ledger: Ledger, clock: Clock) -> None:
    assert base_merges.foreign_head((), HEAD) is ForeignHead.UNREAD
    for tries in range(1, MAX_MERGE_TRIES + 1):
        assert base_merges.foreign_head(read(ledger), HEAD) is ForeignHead.UNREAD
        assert base_merges.may_look(read(ledger), HEAD, clock.now)
        with ledger.write() as tx:
            assert base_merges.begin(tx, ALONE)
        assert not base_merges.may_look(read(ledger), HEAD, clock.now)
        clock.now = next_try(clock.now, tries)
    assert base_merges.foreign_head(read(ledger), HEAD) is ForeignHead.SOMEBODYS


def test_conflicts_are_kept_and_what_belongs_to_no_task_is_forgotten(ledger: Ledger) -> None:
    with ledger.write() as tx:
        base_merges.record(tx, PAIR, MergeState.CONFLICT, conflicts=["a b", "c"])
        base_merges.record(tx, HeadPair("t2", HEAD, BASE), MergeState.CURRENT)
        base_merges.forget_pair(tx, HeadPair("t2", HEAD, BASE))
    (row,) = read(ledger)
    assert (row.state, row.conflicts, row.again_at) == (MergeState.CONFLICT, ("a b", "c"), None)
    assert forget(ledger)["base_merges"] == 1
    with ledger.read() as tx:
        assert tx.execute(select(table)).all() == []
