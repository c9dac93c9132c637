"""Outcomes: what became of the pull requests, by reports that come in any order."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.outcomes import (
    ChecksState,
    Mergeability,
    PullRequestReport,
    PullRequestState,
    ReviewState,
)
from squire_pipelines.ledger import attempts, outcomes, tasks
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import outcomes as table
from tests.support.ledgers import REPOSITORY, START, Clock, add_task, start_attempt, token_of

OPEN, MERGED = PullRequestState.OPEN, PullRequestState.MERGED
CLOSED, REVERTED = PullRequestState.CLOSED, PullRequestState.REVERTED
HEAD = "a" * 40


def opened(ledger: Ledger, task_id: str | None = None, number: int = 7, head: str = HEAD) -> str:
    task_id = task_id or add_task(ledger)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=REPOSITORY, pr_number=number, pr_url=f"https://x/{number}", head_sha=head
        )
    return task_id


def report(state: PullRequestState, after_s: float, **values: Any) -> PullRequestReport:
    defaults: dict[str, Any] = {
        "repository": REPOSITORY,
        "number": 7,
        "url": "https://x/7",
        "head_ref": "squire/x",
        "head_sha": HEAD,
    }
    moment = START + timedelta(seconds=after_s)
    ends = {"merged_at": moment} if state is MERGED else {"closed_at": moment} if state is CLOSED else {}
    return PullRequestReport(state=state, updated_at=moment, **defaults | ends | values)


def apply(ledger: Ledger, report: PullRequestReport) -> str | None:
    with ledger.write() as tx:
        return outcomes.apply_report(tx, report, actor="webhook")


def get(ledger: Ledger, task_id: str) -> Outcome:
    with ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    return outcome


def test_a_task_without_a_pull_request_has_no_outcome(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    with ledger.read() as tx:
        assert outcomes.get(tx, task_id) is None


def test_an_opened_pull_request_is_recorded_once_and_a_later_push_renews_the_head(ledger: Ledger, clock: Clock) -> None:
    task_id = opened(ledger)
    first = get(ledger, task_id)
    assert (first.state, first.pr_number, first.head_sha, first.opened_at) == (OPEN, 7, HEAD, clock.now)
    clock.forward(5)
    opened(ledger, task_id, head="b" * 40)
    again = get(ledger, task_id)
    assert (again.head_sha, again.opened_at) == ("b" * 40, first.opened_at)


def test_when_a_later_attempt_opens_another_pull_request_the_outcome_follows_it(ledger: Ledger) -> None:
    task_id = opened(ledger)
    apply(ledger, report(CLOSED, 5))
    opened(ledger, task_id, number=8)
    outcome = get(ledger, task_id)
    assert (outcome.pr_number, outcome.pr_url, outcome.state) == (8, "https://x/8", OPEN)
    assert apply(ledger, report(OPEN, 9)) is None
    assert apply(ledger, report(MERGED, 10, number=8)) == task_id


def test_a_pull_request_belongs_to_one_task(ledger: Ledger) -> None:
    opened(ledger)
    with pytest.raises(IntegrityError):
        opened(ledger, add_task(ledger))


def test_a_report_of_a_pull_request_that_is_not_ours_is_nobodys(ledger: Ledger) -> None:
    opened(ledger)
    assert apply(ledger, report(MERGED, 1, number=8)) is None
    assert apply(ledger, report(MERGED, 1, repository="acme/other")) is None


def test_a_merge_is_recorded_with_an_event(ledger: Ledger) -> None:
    task_id = opened(ledger)
    assert apply(ledger, report(MERGED, 5)) == task_id
    outcome = get(ledger, task_id)
    assert (outcome.state, outcome.merged_at) == (MERGED, START + timedelta(seconds=5))
    with ledger.read() as tx:
        event = tasks.events(tx, task_id)[-1]
    assert (event.subject, event.before, event.after, event.actor) == ("outcome", "open", "merged", "webhook")
    assert event.reason == "pull request #7"


def test_the_same_report_again_changes_nothing(ledger: Ledger) -> None:
    task_id = opened(ledger)
    apply(ledger, report(MERGED, 5))
    before = get(ledger, task_id)
    assert apply(ledger, report(MERGED, 5)) == task_id
    assert get(ledger, task_id) == before
    with ledger.read() as tx:
        changes = [(event.before, event.after) for event in tasks.events(tx, task_id) if event.subject == "outcome"]
    assert changes == [(None, "open"), ("open", "merged")]


@pytest.mark.parametrize(
    "history",
    [
        [(OPEN, 1), (CLOSED, 2), (OPEN, 3), (MERGED, 4)],
        [(CLOSED, 1), (OPEN, 2), (CLOSED, 3)],
        [(MERGED, 1), (REVERTED, 2)],
        [(CLOSED, 1), (OPEN, 2), (MERGED, 3), (REVERTED, 4)],
    ],
    ids=lambda history: "-".join(state for state, _ in history),
)
def test_reports_in_any_order_end_in_the_same_state(
    ledger: Ledger, history: list[tuple[PullRequestState, int]]
) -> None:
    for number, order in enumerate(permutations(history), start=100):
        task_id = opened(ledger, number=number)
        for state, second in order:
            apply(ledger, report(state, second, number=number))
        assert get(ledger, task_id).state is history[-1][0], order


def test_a_merge_that_ties_with_an_open_report_is_taken_and_not_undone(ledger: Ledger) -> None:
    task_id = opened(ledger)
    for state in (OPEN, MERGED, OPEN):
        apply(ledger, report(state, 5))
    assert get(ledger, task_id).state is MERGED


def test_checks_are_kept_until_the_head_changes(ledger: Ledger) -> None:
    task_id = opened(ledger)
    apply(ledger, report(OPEN, 1, checks=ChecksState.FAILED))
    apply(ledger, report(OPEN, 2))
    assert get(ledger, task_id).checks == "failed"
    apply(ledger, report(OPEN, 3, head_sha="b" * 40))
    assert get(ledger, task_id).checks is None
    apply(ledger, report(OPEN, 4, head_sha="b" * 40, checks=ChecksState.PASSED))
    assert get(ledger, task_id).checks == "passed"


def test_failed_checks_count_from_when_github_could_not_be_asked_about_them(ledger: Ledger, clock: Clock) -> None:
    task_id, passed = opened(ledger), opened(ledger, number=8, head="b" * 40)
    apply(ledger, report(OPEN, 1, number=8, head_sha="b" * 40, checks=ChecksState.PASSED))
    with ledger.write() as tx:
        outcomes.record_failed_checks(tx, REPOSITORY, HEAD, at=START - timedelta(hours=1), actor="delivery")
    since = get(ledger, passed).checks_since
    clock.forward(60)
    with ledger.write() as tx:
        outcomes.postpone_failures(tx, {task_id, passed})
    assert (get(ledger, task_id).checks_since, get(ledger, passed).checks_since) == (clock.now, since)


def test_a_push_to_a_base_is_about_the_open_pull_requests_that_go_into_it(ledger: Ledger) -> None:
    waiting, other, _merged = (opened(ledger, number=number) for number in (7, 8, 9))
    apply(ledger, report(OPEN, 1, number=8, base_ref="release", base_sha="c" * 40, mergeability=Mergeability.BEHIND))
    apply(ledger, report(MERGED, 1, number=9))
    with ledger.read() as tx:
        assert [outcome.task_id for outcome in outcomes.of_base(tx, REPOSITORY, "main")] == [waiting]
        assert [outcome.task_id for outcome in outcomes.of_base(tx, REPOSITORY, "release")] == [other]
        assert outcomes.of_base(tx, "acme/other", "main") == ()
        assert outcomes.of_unknown_merge(tx, {waiting, other}) == (waiting,)


def test_a_reopened_pull_request_is_no_longer_closed(ledger: Ledger) -> None:
    opened(ledger)
    apply(ledger, report(CLOSED, 1))
    apply(ledger, report(OPEN, 2))
    with ledger.read() as tx:
        assert tx.execute(select(table.c.closed_at)).scalar_one() is None


def test_open_pull_requests_are_polled_when_nobody_asked_for_long_the_longest_neglected_first(
    ledger: Ledger, clock: Clock
) -> None:
    first, second, merged = (opened(ledger, number=number) for number in (7, 8, 9))
    apply(ledger, report(MERGED, 1, number=9))

    def due(limit: int = 100) -> list[str]:
        with ledger.read() as tx:
            return [outcome.task_id for outcome in outcomes.to_poll(tx, not_since_s=60, limit=limit)]

    assert due() == []
    clock.forward(61)
    assert sorted(due()) == sorted([first, second])
    assert len(due(limit=1)) == 1
    with ledger.write() as tx:
        outcomes.mark_polled(tx, (first,), at=tx.now)
    assert due() == [second]
    clock.forward(30)
    with ledger.write() as tx:
        outcomes.mark_polled(tx, (second, merged), at=tx.now)
    clock.forward(61)
    assert due() == [first, second]


def test_a_closed_pull_request_may_be_opened_again_and_is_asked_about_once_an_hour_for_two_weeks(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = opened(ledger)
    apply(ledger, report(CLOSED, 1).model_copy(update={"closed_at": clock.now}))

    def due() -> list[str]:
        with ledger.write() as tx:
            ids = tuple(outcome.task_id for outcome in outcomes.to_poll(tx, not_since_s=60))
            outcomes.mark_polled(tx, ids, at=tx.now)
        return list(ids)

    clock.forward(3599)
    assert due() == []
    clock.forward(2)
    assert due() == [task_id]
    clock.forward(61)
    assert due() == []
    clock.forward(14 * 86400)
    assert due() == []


def test_a_held_pull_request_is_approved_once_by_somebody(ledger: Ledger) -> None:
    task_id = opened(ledger)
    with ledger.write() as tx:
        assert not outcomes.record_review(tx, task_id, ReviewState.APPROVED, actor="github:x", reason="r")
        outcomes.renew_head(tx, task_id=task_id, head_sha=HEAD, review=ReviewState.NEEDS_APPROVAL)
        assert [outcome.task_id for outcome in outcomes.awaiting_approval(tx, {task_id})] == [task_id]
        assert outcomes.record_review(tx, task_id, ReviewState.APPROVED, actor="github:x", reason="r")
        assert not outcomes.record_review(tx, task_id, ReviewState.APPROVED, actor="github:y", reason="r")
        assert outcomes.awaiting_approval(tx, {task_id}) == ()
        pushed, event = [event for event in tasks.events(tx, task_id) if event.subject == "review"]
    assert (pushed.before, pushed.after) == ("none", "needs_approval")
    assert (event.before, event.after, event.actor) == ("needs_approval", "approved", "github:x")
    assert get(ledger, task_id).review_state is ReviewState.APPROVED


def test_a_push_that_is_held_holds_what_was_approved_and_one_that_is_not_changes_nothing(ledger: Ledger) -> None:
    task_id = opened(ledger)
    for review, after in (
        (ReviewState.NEEDS_APPROVAL, ReviewState.NEEDS_APPROVAL),
        (ReviewState.NONE, ReviewState.NEEDS_APPROVAL),
    ):
        with ledger.write() as tx:
            outcomes.renew_head(tx, task_id=task_id, head_sha="b" * 40, review=review)
        assert get(ledger, task_id).review_state is after


@pytest.mark.parametrize(
    ("history", "review"),
    [
        ([CLOSED], ReviewState.REJECTED),
        ([CLOSED, OPEN], ReviewState.NEEDS_APPROVAL),
        ([MERGED], ReviewState.APPROVED),
        ([CLOSED, OPEN, MERGED, REVERTED], ReviewState.APPROVED),
    ],
)
def test_who_closes_a_held_pull_request_rejects_it_and_who_merges_it_approves(
    ledger: Ledger, history: list[PullRequestState], review: ReviewState
) -> None:
    task_id = opened(ledger)
    with ledger.write() as tx:
        outcomes.renew_head(tx, task_id=task_id, head_sha=HEAD, review=ReviewState.NEEDS_APPROVAL)
    for second, state in enumerate(history):
        apply(ledger, report(state, second))
    assert get(ledger, task_id).review_state is review


def test_an_open_pull_request_is_found_by_its_tasks_branch(ledger: Ledger) -> None:
    task_id = opened(ledger)
    with ledger.read() as tx:
        branch = tasks.get(tx, task_id).branch
        outcome = outcomes.of_branch(tx, REPOSITORY, branch)
        assert outcome is not None
        assert outcome.task_id == task_id
        assert outcomes.of_branch(tx, REPOSITORY, "main") is None
    apply(ledger, report(CLOSED, 5))
    with ledger.read() as tx:
        assert outcomes.of_branch(tx, REPOSITORY, branch) is None


@pytest.mark.parametrize(
    ("head", "after_s", "known"),
    [(HEAD, 60, "b" * 40), (HEAD, 180, HEAD), ("c" * 40, 60, "c" * 40)],
    ids=["an earlier one of ours", "the same after a while", "somebody's"],
)
def test_a_report_that_does_not_know_our_push_yet_changes_no_head(
    ledger: Ledger, clock: Clock, head: str, after_s: float, known: str
) -> None:
    add_task(ledger)
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(head_sha=HEAD))
    task_id = opened(ledger, attempt.task_id)
    apply(ledger, report(OPEN, 1, checks=ChecksState.FAILED))
    with ledger.write() as tx:
        outcomes.renew_head(tx, task_id=task_id, head_sha="b" * 40, review=ReviewState.NONE)
    clock.forward(after_s)
    apply(ledger, report(OPEN, 2, head_sha=head, checks=ChecksState.FAILED))
    assert get(ledger, task_id).head_sha == known
    assert (get(ledger, task_id).checks is None) is (known == "b" * 40)
