"""The watch of a base branch after a merge, in both databases: a revert that follows from its verdict is not lost."""

from datetime import timedelta
from typing import Any

from squire_pipelines.domain.base_checks import BaseStep, BaseVerdict
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.ledger import base_watches, outcomes
from squire_pipelines.ledger.base_watches import MAX_REVERT_TRIES, RevertTry, WatchedBase
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import REPOSITORY, Clock, add_task

HEAD, MERGE = "a" * 40, "c" * 40
BROKEN = BaseStep(BaseVerdict.BROKEN, "tests fail", reverts=True)


def merge_one(ledger: Ledger) -> WatchedBase:
    task_id = add_task(ledger)
    pull: dict[str, Any] = {"repository": REPOSITORY, "head_sha": HEAD}
    with ledger.write() as tx:
        outcomes.record_opened(tx, task_id=task_id, pr_number=7, pr_url="https://x/7", **pull)
        report = PullRequestReport(
            number=7,
            url="https://x/7",
            head_ref="squire/x",
            state=PullRequestState.MERGED,
            updated_at=tx.now + timedelta(seconds=1),
            merged_at=tx.now,
            **pull,
        )
        outcomes.apply_report(tx, report, actor="poll")
        (watched,) = base_watches.due(tx)
    return watched


def test_a_revert_is_begun_with_its_verdict_and_goes_on_where_the_process_died_after_it(
    ledger: Ledger, clock: Clock
) -> None:
    watched = merge_one(ledger)
    with ledger.write() as tx:
        assert base_watches.record_step(tx, watched, BROKEN, merge_sha=MERGE) is RevertTry.PROPOSE
    with ledger.write() as tx:
        assert base_watches.record_step(tx, watched, BROKEN, merge_sha=MERGE) is None, "another process judged it"
        assert base_watches.to_tell(tx) == (), "not before it is known whether a revert is there"
        assert base_watches.to_revert(tx) == (), "a process may be at it"
    clock.forward(16 * 60)
    with ledger.write() as tx:
        (begun,) = base_watches.to_revert(tx)
        assert (begun.task_id, begun.reason) == (watched.task_id, "tests fail")
        assert base_watches.begin_revert(tx, begun) is RevertTry.PROPOSE
        assert base_watches.begin_revert(tx, begun) is None, "one process at a time"


def test_after_its_last_try_a_revert_is_looked_for_until_it_is_known_whether_there_is_one(
    ledger: Ledger, clock: Clock
) -> None:
    watched = merge_one(ledger)
    with ledger.write() as tx:
        base_watches.record_step(tx, watched, BROKEN, merge_sha=MERGE)
    tries = []
    for _ in range(MAX_REVERT_TRIES + 1):
        clock.forward(16 * 60)
        with ledger.write() as tx:
            tries.append(base_watches.begin_revert(tx, watched))
    assert tries == [RevertTry.PROPOSE] * (MAX_REVERT_TRIES - 1) + [RevertTry.LOOK] * 2
    clock.forward(16 * 60)
    with ledger.write() as tx:
        base_watches.record_revert(tx, watched, number=8, url="https://x/8", by_us=False)
        assert base_watches.to_revert(tx) == ()
        assert base_watches.begin_revert(tx, watched) is None
        assert [one.revert_number for one in base_watches.to_tell(tx)] == [8]
