"""A no is a no: what becomes of a fact after a person closed the pull request of its task."""

from datetime import datetime, timedelta

import pytest

from squire_pipelines.domain.authority import ActorKind, Approval, Author, Provenance, RepositoryPermission
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.signals import OpenIssue, Signal, Source
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.execution.requests import take_requests
from squire_pipelines.ledger import outcomes, tasks
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_creation import create_again
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import REPOSITORY, START, TRACE, add_tasks, collect, issue, spec
from tests.support.signal_samples import failed_check

SETTINGS = Settings(repositories=(REPOSITORY,))
RULES = SETTINGS.trust_rules_for(REPOSITORY)


def labelled(*, title: str = "It is broken", label_at: datetime = START, version: str = "v1") -> Signal:
    person = Author(login="mara", kind=ActorKind.PERSON, permission=RepositoryPermission.WRITE)
    approval = Approval(label="squire", by=person, at=label_at)
    details = OpenIssue(number=1, author="ann", labels=("squire",))
    values = {"details": details, "provenance": Provenance(approvals=(approval,))}
    return issue(title=title, version=version).model_copy(update=values)


def take(ledger: Ledger) -> tuple[str, ...]:
    with ledger.write() as tx:
        return take_requests(tx, SETTINGS, REPOSITORY, trace_id=TRACE)


def close(
    ledger: Ledger, task_id: str, state: PullRequestState = PullRequestState.CLOSED, *, number: int = 7
) -> datetime:
    """Let a task end with a pull request that a person closed `number` minutes later; return when."""
    with ledger.write() as tx:
        ended = {"status": TaskStatus.RUNNING, "updated_at": tx.now}
        tx.execute(task_table.update().where(task_table.c.id == task_id).values(ended))
        done = {"status": TaskStatus.SUCCEEDED, "ended_at": tx.now}
        tx.execute(task_table.update().where(task_table.c.id == task_id).values(done))
        url = f"https://x/{number}"
        closed_at = tx.now + timedelta(minutes=number)
        outcomes.record_opened(
            tx, task_id=task_id, repository=REPOSITORY, pr_number=number, pr_url=url, head_sha="a" * 40
        )
        report = PullRequestReport(
            repository=REPOSITORY,
            number=number,
            url=url,
            head_ref="squire/x",
            head_sha="a" * 40,
            state=state,
            updated_at=closed_at,
            closed_at=closed_at,
        )
        outcomes.apply_report(tx, report, actor="github")
        return closed_at


def answered(ledger: Ledger, *signals: Signal) -> frozenset[str]:
    with ledger.read() as tx:
        return frozenset(covered_facts(tx, REPOSITORY, signals, times=1, rules=RULES))


def check(version: str) -> Signal:
    return failed_check(version=version).model_copy(update={"repository": REPOSITORY})


@pytest.mark.parametrize(("state", "is_answered"), [(PullRequestState.CLOSED, True), (PullRequestState.MERGED, False)])
def test_a_check_that_fails_again_after_the_next_push_waits_when_a_person_said_no(
    ledger: Ledger, state: PullRequestState, *, is_answered: bool
) -> None:
    collect(ledger, check("head-1"), source=Source.FAILED_CI)
    (task_id,) = add_tasks(ledger, spec("a", signals=(check("head-1").ref,)))
    close(ledger, task_id, state)
    assert answered(ledger, check("head-2")) == (frozenset({check("").ref}) if is_answered else frozenset())


def test_an_issue_whose_pull_request_was_closed_makes_a_task_again_when_somebody_asks_and_once(ledger: Ledger) -> None:
    collect(ledger, labelled())
    (first,) = take(ledger)
    closed_at = close(ledger, first)
    collect(ledger, labelled(version="its text was edited"))
    assert take(ledger) == (), "nobody asked"
    collect(ledger, labelled(label_at=closed_at + timedelta(seconds=1)))
    (again,) = take(ledger)
    assert take(ledger) == ()
    with ledger.read() as tx:
        task, event = tasks.get(tx, again), tasks.events(tx, again)[0]
        assert (task.spec, task.status) == (tasks.get(tx, first).spec, TaskStatus.READY)
        assert task.branch != tasks.get(tx, first).branch
    assert event.actor == "github:mara"
    close(ledger, again, number=8)
    assert take(ledger) == (), "the second no stands too"


def test_an_issue_with_a_new_title_is_a_new_wish(ledger: Ledger) -> None:
    collect(ledger, labelled())
    (first,) = take(ledger)
    close(ledger, first)
    collect(ledger, labelled(title="It is slow", version="v2"))
    (second,) = take(ledger)
    with ledger.read() as tx:
        assert tasks.get(tx, second).title == "Resolve #1: It is slow"


def test_a_no_stands_when_the_task_that_did_it_again_was_cancelled(ledger: Ledger) -> None:
    collect(ledger, check("head-1"), source=Source.FAILED_CI)
    (task_id,) = add_tasks(ledger, spec("a", signals=(check("head-1").ref,)))
    close(ledger, task_id)
    with ledger.write() as tx:
        again = create_again(tx, task_id, actor="cli:ann", ready=True, max_attempts=1, trace_id=TRACE)
    assert answered(ledger, check("head-2")) == {check("").ref}, "it is being done again"
    with ledger.write() as tx:
        tasks.cancel(tx, again.id, actor="cli:ann")
    assert answered(ledger, check("head-2")) == {check("").ref}
