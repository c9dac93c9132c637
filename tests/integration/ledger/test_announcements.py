"""Which proposed tasks are announced on their issues, in both databases: one at a time, a few times, once."""

from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Risk
from squire_pipelines.ledger import announcements, bulk
from squire_pipelines.ledger.announcements import Announcement
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try
from tests.support.ledgers import REPOSITORY, Clock, add_task, collect, decide, forget, issue

BY_HAND = ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH)


def propose(ledger: Ledger) -> Announcement:
    collect(ledger, issue(1))
    task_id = add_task(ledger, signals=(issue(1).ref,), approval=BY_HAND)
    return Announcement(task_id, REPOSITORY, 1)


def due(ledger: Ledger) -> tuple[Announcement, ...]:
    with ledger.read() as tx:
        return announcements.due(tx, REPOSITORY)


def test_a_proposed_task_is_due_until_it_is_announced_or_decided_about(ledger: Ledger) -> None:
    proposed = propose(ledger)
    add_task(ledger, approval=BY_HAND)  # it answers no issue
    assert due(ledger) == (proposed,)
    with ledger.write() as tx:
        assert announcements.begin(tx, proposed)
        assert not announcements.begin(tx, proposed), "another process is at it"
        announcements.record_comment(tx, proposed.task_id, 12)
        assert announcements.last_error(tx, proposed.task_id) is None
    assert due(ledger) == ()
    assert forget(ledger)["announcements"] == 0


def test_what_was_decided_about_is_announced_no_more(ledger: Ledger) -> None:
    proposed = propose(ledger)
    with ledger.write() as tx:
        decide(tx, proposed.task_id, bulk.reject("no"))
        assert not announcements.begin(tx, proposed)
    assert due(ledger) == ()


def test_what_fails_is_tried_a_few_times_with_growing_waits(ledger: Ledger, clock: Clock) -> None:
    proposed = propose(ledger)
    for number in range(1, MAX_TRIES + 1):
        with ledger.write() as tx:
            assert announcements.begin(tx, proposed)
            announcements.record_error(tx, proposed.task_id, "it is locked")
            assert announcements.last_error(tx, proposed.task_id) == "it is locked"
        assert due(ledger) == ()
        clock.now = next_try(clock.now, number)
    assert due(ledger) == ()
