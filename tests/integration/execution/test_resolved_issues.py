"""Which issues the pull request of a task closes."""

from collections.abc import Sequence

from squire_pipelines.domain.signals import Signal
from squire_pipelines.execution.pull_request_story import resolved_issues
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import REPOSITORY, add_tasks, collect, issue, spec


def closed_by(ledger: Ledger, task_id: str, signals: Sequence[Signal]) -> tuple[int, ...]:
    with ledger.read() as tx:
        return resolved_issues(tx, task_id, signals)


def test_a_task_closes_the_issues_that_it_alone_works_on(ledger: Ledger) -> None:
    one, two = issue(1), issue(2)
    collect(ledger, one, two)
    first, second = add_tasks(
        ledger, spec("a", signals=(one.ref, two.ref)), spec("b", signals=(two.ref,)), repository=REPOSITORY
    )
    assert closed_by(ledger, first, (two, one)) == (1,), "another task still works on the second"
    assert closed_by(ledger, second, (two,)) == ()
