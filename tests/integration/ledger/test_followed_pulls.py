"""Where our pull requests stand, in both databases: what is read of them, what is recorded, and what people decided."""

from dataclasses import replace
from datetime import timedelta

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import JUST_OPENED, FollowState
from squire_pipelines.domain.outcomes import ChecksState, Mergeability, PullRequestReport, PullRequestState
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.pull_endings import JudgedEnding, PullEnding
from squire_pipelines.domain.tasks import FollowUp, FollowUpKind, Risk, TaskStatus
from squire_pipelines.ledger import attempts, bulk, ended_pulls, followed_pulls, heard_remarks, outcomes, tasks
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.followed_pulls import Followed
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try
from tests.support.ledgers import (
    REPOSITORY,
    START,
    Clock,
    add_task,
    claim,
    decide,
    dispatch,
    forget,
    settle,
    start_attempt,
    token_of,
)

HEAD, BASE = "e" * 40, "b" * 40
BY_HAND = ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH)


def open_pull(ledger: Ledger) -> str:
    """A task whose attempt opened a pull request; its id."""
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        facts = AttemptFacts(head_sha=HEAD, base_sha=BASE, pr_number=7, pr_url="https://x/7")
        attempts.note(tx, attempt.id, token_of(attempt), facts)
        outcomes.record_opened(
            tx, task_id=attempt.task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha=HEAD
        )
    settle(ledger, attempt, Cause.COMPLETED)
    return attempt.task_id


def read(ledger: Ledger, task_id: str) -> Followed:
    with ledger.read() as tx:
        (followed,) = followed_pulls.read_followed(tx, task_ids=[task_id])
    return followed


def outcome_of(tx: Transaction, task_id: str) -> Outcome:
    outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    return outcome


def report(clock: Clock, state: PullRequestState = PullRequestState.OPEN, *, head: str = HEAD) -> PullRequestReport:
    closed_at = clock.now if state is not PullRequestState.OPEN else None
    return PullRequestReport(
        repository=REPOSITORY,
        number=7,
        url="https://x/7",
        head_ref="squire/x",
        head_sha=head,
        state=state,
        updated_at=clock.now,
        closed_at=closed_at,
        checks=ChecksState.FAILED,
        mergeability=Mergeability.MERGEABLE,
        draft=False,
    )


def test_a_pull_request_is_read_with_its_heads_and_the_work_on_it(ledger: Ledger) -> None:
    task_id = open_pull(ledger)
    followed = read(ledger, task_id)
    assert (followed.own_heads, followed.work, followed.under_way) == (frozenset({HEAD}), (), None)
    assert (followed.outcome.follow_state, followed.outcome.follow_reason) == (JUST_OPENED.state, JUST_OPENED.reason)
    mended = FollowUp(kind=FollowUpKind.CHECKS, head_sha=HEAD)
    own = add_task(ledger, base_branch=followed.branch, follow_up=mended)
    asked = add_task(ledger, base_branch=followed.branch)
    followed = read(ledger, task_id)
    assert [(work.task_id, work.follow_up) for work in followed.work] == [(own, mended), (asked, None)]
    assert followed.under_way is FollowUpKind.CHECKS
    assert followed.count(FollowUpKind.CHECKS) == followed.count(FollowUpKind.CHECKS, head_sha=HEAD) == 1
    assert followed.count(FollowUpKind.CHECKS, head_sha=BASE) == followed.count(FollowUpKind.REMARKS) == 0
    with ledger.write() as tx:
        tasks.cancel(tx, own, actor="ann")
    followed = read(ledger, task_id)
    assert (followed.count(FollowUpKind.CHECKS), followed.under_way) == (0, FollowUpKind.REMARKS)


def test_a_state_is_recorded_once_with_its_event(ledger: Ledger) -> None:
    task_id = open_pull(ledger)
    state, reason = FollowState.WAITING_FOR_MERGE, "nothing but its merge"
    with ledger.write() as tx:
        assert followed_pulls.record_state(tx, read(ledger, task_id), state, reason)
    with ledger.write() as tx:
        assert not followed_pulls.record_state(tx, read(ledger, task_id), state, reason)
        steps = [event for event in tasks.events(tx, task_id) if event.subject == "follow"]
    assert [(event.before, event.after, event.reason) for event in steps] == [(JUST_OPENED.state, state, reason)]


def test_what_is_left_to_people_is_taken_up_from_the_head_that_it_has(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger)
    with ledger.write() as tx:
        assert not followed_pulls.take_up(tx, task_id, actor="ann", reason="asked for")
        outcomes.apply_report(tx, report(clock, head="f" * 40), actor="poll")
    followed = read(ledger, task_id)
    assert followed.outcome.head_sha not in followed.own_heads
    with ledger.write() as tx:
        why = "somebody pushed"
        followed_pulls.record_state(tx, followed, FollowState.HANDED_OVER, why, handed_over=why)
        followed_pulls.record_announced(tx, task_id, why)
        followed_pulls.record_answered(tx, task_id, "t1")
    clock.now += timedelta(minutes=1)
    with ledger.write() as tx:
        assert followed_pulls.take_up(tx, task_id, actor="ann", reason="asked for")
    followed = read(ledger, task_id)
    assert followed.outcome.head_sha in followed.own_heads
    outcome = followed.outcome
    assert (outcome.handed_over, outcome.announced_reason, outcome.answered_task_id) == (None, why, "t1"), (
        "its comment still says so"
    )


def test_what_cannot_be_said_is_tried_with_growing_waits(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger)
    with ledger.write() as tx:
        assert followed_pulls.begin_telling(tx, task_id) == 1
        assert followed_pulls.begin_telling(tx, task_id) is None, "another process is at it"
        followed_pulls.record_tell_error(tx, task_id, "it is locked")
    clock.now = next_try(clock.now, 1)
    with ledger.write() as tx:
        assert followed_pulls.begin_telling(tx, task_id) == 2
        followed_pulls.end_telling(tx, task_id, error="given up")
        outcome = outcome_of(tx, task_id)
        assert followed_pulls.begin_telling(tx, "t-none") is None
    assert (outcome.tell_tries, outcome.tell_again_at, outcome.tell_error) == (None, None, "given up")
    assert next_try(START, 2) - START == 3 * (next_try(START, 1) - START)
    assert next_try(START, MAX_TRIES + 9) == next_try(START, MAX_TRIES)


def test_a_new_head_has_no_checks_yet(ledger: Ledger, clock: Clock) -> None:
    task_id = open_pull(ledger)
    with ledger.write() as tx:
        outcomes.apply_report(tx, report(clock), actor="poll")
        first = outcome_of(tx, task_id)
        outcomes.renew_head(tx, task_id=task_id, head_sha="c" * 40, review=first.review_state)
        outcome = outcome_of(tx, task_id)
    assert (first.checks, first.mergeability, first.draft) == ("failed", "mergeable", False)
    assert (outcome.head_sha, outcome.checks, outcome.mergeability) == ("c" * 40, None, None)


def test_a_closed_pull_request_is_judged_once_and_counts_as_merged_where_it_landed(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = open_pull(ledger)
    with ledger.write() as tx:
        assert ended_pulls.unjudged(tx) == ()
        outcomes.apply_report(tx, report(clock, PullRequestState.CLOSED), actor="poll")
        (closed,) = ended_pulls.unjudged(tx)
        assert (closed.task_id, closed.base_sha, closed.head_sha) == (task_id, BASE, HEAD)
        assert (closed.own_heads, closed.taken_up, closed.base_branch) == ((HEAD,), None, "main")
        assert ended_pulls.record_ending(tx, closed, JudgedEnding(PullEnding.LANDED_ELSEWHERE, "it is there", "ann"))
        assert not ended_pulls.record_ending(tx, closed, JudgedEnding(PullEnding.UNKNOWN, "?")), "it is judged"
        assert ended_pulls.unjudged(tx) == ()
        outcome = outcome_of(tx, task_id)
    assert (outcome.state, outcome.ending, outcome.ending_reason) == (
        PullRequestState.MERGED,
        "landed_elsewhere",
        "it is there",
    )
    followed = read(ledger, task_id)
    with ledger.write() as tx:
        followed_pulls.record_state(tx, followed, FollowState.LANDED_ELSEWHERE, "")
        assert followed_pulls.read_followed(tx) == (), "it has ended"


def test_a_task_that_waits_for_approval_is_work_under_way(ledger: Ledger) -> None:
    task_id = open_pull(ledger)
    follow_up = FollowUp(kind=FollowUpKind.REMARKS, head_sha=HEAD)
    own = add_task(ledger, base_branch=read(ledger, task_id).branch, follow_up=follow_up, approval=BY_HAND)
    (work,) = read(ledger, task_id).work
    assert (work.status, read(ledger, task_id).under_way) == (TaskStatus.PROPOSED, FollowUpKind.REMARKS)
    with ledger.write() as tx:
        decide(tx, own, bulk.reject("no"))
    assert read(ledger, task_id).under_way is None


def add_work(ledger: Ledger, pull: str, cause: Cause) -> str:
    """Add work of Squire's own to a pull request, which ends so; its id."""
    with ledger.read() as tx:
        branch = tasks.get(tx, pull).branch
    follow_up = FollowUp(kind=FollowUpKind.CHECKS, head_sha=HEAD)
    attempt = start_attempt(ledger, base_branch=branch, follow_up=follow_up, max_attempts=1)
    settle(ledger, attempt, cause)
    return attempt.task_id


def test_of_work_that_has_ended_github_is_asked_before_there_is_more(ledger: Ledger, clock: Clock) -> None:
    pull = open_pull(ledger)
    assert not read(ledger, pull).is_to_be_asked
    clock.forward(1)
    work = add_work(ledger, pull, Cause.PUBLISH_REFUSED)
    followed = read(ledger, pull)
    assert followed.is_to_be_asked
    assert followed.present_work[-1].is_refused
    with ledger.write() as tx:
        assert [outcome.task_id for outcome in outcomes.to_poll(tx, not_since_s=3600)] == [pull]
        assert followed_pulls.owner_of(tx, work) == pull
        assert followed_pulls.owner_of(tx, pull) is None
        outcomes.mark_polled(tx, (pull,), at=tx.now)
    assert not read(ledger, pull).is_to_be_asked


def test_work_whose_last_run_died_before_it_was_published_is_kept_and_not_done_again(
    ledger: Ledger, clock: Clock
) -> None:
    pull = open_pull(ledger)
    with ledger.read() as tx:
        branch = tasks.get(tx, pull).branch
    follow_up = FollowUp(kind=FollowUpKind.CHECKS, head_sha=HEAD)
    first = start_attempt(ledger, base_branch=branch, follow_up=follow_up, max_attempts=2)
    with ledger.write() as tx:
        attempts.note(tx, first.id, token_of(first), AttemptFacts(agent_started_at=tx.now))
        attempts.start_publishing(tx, first.id, token_of(first), head_sha="c" * 40)
    settle(ledger, first, Cause.GITHUB_UNAVAILABLE)
    clock.forward(3600)
    settle(ledger, claim(ledger, dispatch(ledger)[-1].id), Cause.LOST)
    work = read(ledger, pull).present_work[-1]
    assert (work.status, work.cause) == (TaskStatus.FAILED, Cause.LOST)
    assert work.keeps_work
    assert work.is_refused


def test_taking_up_publishes_what_github_did_not_take(ledger: Ledger, clock: Clock) -> None:
    pull = open_pull(ledger)
    work = add_work(ledger, pull, Cause.PUBLISH_REFUSED)
    with ledger.write() as tx:
        why = "GitHub does not take it"
        followed_pulls.record_state(tx, read(ledger, pull), FollowState.HANDED_OVER, why, handed_over=why)
    clock.forward(1)
    with ledger.write() as tx:
        assert followed_pulls.take_up(tx, pull, actor="ann", reason="asked for")
        assert tasks.get(tx, work).status is TaskStatus.READY
    followed = read(ledger, pull)
    assert (followed.count(FollowUpKind.CHECKS), followed.count_others(FollowUpKind.CHECKS)) == (0, 1)


def test_work_that_is_kept_outlives_a_run_that_dies_before_it_is_published(ledger: Ledger, clock: Clock) -> None:
    pull = open_pull(ledger)
    work = add_work(ledger, pull, Cause.PUBLISH_REFUSED)
    with ledger.write() as tx:
        why = "GitHub does not take it"
        followed_pulls.record_state(tx, read(ledger, pull), FollowState.HANDED_OVER, why, handed_over=why)
    clock.forward(1)
    with ledger.write() as tx:
        assert followed_pulls.take_up(tx, pull, actor="ann", reason="asked for")
    (attempt,) = dispatch(ledger)
    settle(ledger, claim(ledger, attempt.id), Cause.LOST)
    followed = read(ledger, pull)
    assert followed.under_way is FollowUpKind.CHECKS, "it is tried again, and no other work is begun"
    with ledger.read() as tx:
        assert not tasks.get(tx, work).status.is_final


def test_the_rounds_of_a_remark_are_counted_by_the_tasks_that_dealt_with_it(ledger: Ledger) -> None:
    task_id = open_pull(ledger)
    branch = read(ledger, task_id).branch
    follow_up = FollowUp(kind=FollowUpKind.REMARKS, head_sha=HEAD)
    ref, other = "review_finding:T1", "review_finding:T2"
    first = add_task(ledger, base_branch=branch, follow_up=follow_up, signals=(ref, other))
    followed = read(ledger, task_id)
    (work,) = followed.work
    again, asked = replace(work, task_id=f"{first}2", signals=(ref,)), replace(work, task_id="x", follow_up=None)
    taken_back = replace(again, status=TaskStatus.CANCELLED)
    followed = replace(followed, work=(work, again, asked, taken_back))
    assert (followed.rounds_of(ref), followed.rounds_of(ref, until=first), followed.rounds_of(other)) == (2, 1, 1)
    since = replace(followed.outcome, taken_up_at=work.created_at)
    assert replace(followed, outcome=since).rounds_of(ref) == 0, "a person had Squire begin anew"


def test_remarks_are_shown_to_be_heard_once_and_a_few_times_where_that_fails(ledger: Ledger) -> None:
    first, second = add_task(ledger), add_task(ledger)
    with ledger.write() as tx:
        assert heard_remarks.without_heard(tx, [first, second]) == {first, second}
        assert heard_remarks.begin(tx, first) == 1
        assert heard_remarks.begin(tx, first) is None, "another process is at it"
        heard_remarks.end(tx, first, tries=MAX_TRIES, error="it is locked")
        assert heard_remarks.without_heard(tx, [first, second]) == {second}
    assert forget(ledger)["heard_remarks"] == 0
    with ledger.write() as tx:
        tasks.cancel(tx, first, actor="ann")
    assert forget(ledger)["heard_remarks"] == 1
