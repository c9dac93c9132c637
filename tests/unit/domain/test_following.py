from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.base_updates import BaseAct, BaseFacts, BaseUpdateRules, MergeState, UpdateWhen
from squire_pipelines.domain.following import NO_WORK, FollowedPull, FollowRules, FollowState, next_step
from squire_pipelines.domain.outcomes import ChecksState, Mergeability, PullRequestState, ReviewDecision
from squire_pipelines.domain.tasks import FollowUpKind

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
RULES = FollowRules()
OPEN = FollowedPull(PullRequestState.OPEN, checks=ChecksState.PASSED)
FAILED = replace(OPEN, checks=ChecksState.FAILED, checks_since=NOW - timedelta(minutes=5), failed_checks=2)

CONFLICTING = replace(OPEN, mergeability=Mergeability.CONFLICTING, base=BaseFacts(is_known=True))
BEHIND = replace(CONFLICTING, mergeability=Mergeability.BEHIND)
BASES = st.builds(
    BaseFacts,
    is_known=st.booleans(),
    is_gone=st.booleans(),
    merge=st.none() | st.sampled_from(MergeState),
    is_spent=st.booleans(),
    may_try=st.booleans(),
    error=st.sampled_from(["", "no"]),
    updates=st.integers(0, 25),
    resolves=st.integers(0, 4),
    resolves_of_base=st.integers(0, 3),
)
PULLS = st.builds(
    FollowedPull,
    state=st.sampled_from(PullRequestState),
    landed=st.booleans(),
    checks=st.none() | st.sampled_from(ChecksState),
    checks_since=st.none() | st.integers(0, 5_000).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    failed_checks=st.integers(0, 3),
    remarks=st.integers(0, 3),
    spent_remarks=st.integers(0, 2),
    mergeability=st.sampled_from(Mergeability),
    review=st.sampled_from(ReviewDecision),
    needs_approval=st.booleans(),
    draft=st.booleans(),
    people_pushed=st.booleans(),
    unread_head=st.booleans(),
    base=BASES,
    under_way=st.none() | st.sampled_from(FollowUpKind),
    fixes=st.integers(0, 5),
    fixes_of_head=st.integers(0, 3),
    answers=st.integers(0, 7),
    refused=st.none() | st.just("t1"),
    cancelled=st.booleans(),
    handed_over=st.none() | st.just("somebody said so"),
)


@pytest.mark.parametrize(
    ("pull", "state", "reason"),
    [
        (replace(OPEN, checks=None), "waiting_for_ci", "its checks are not known yet"),
        (replace(OPEN, checks=ChecksState.PENDING), "waiting_for_ci", "its checks run"),
        (OPEN, "waiting_for_merge", "nothing but its merge"),
        (replace(OPEN, checks=ChecksState.NONE), "waiting_for_merge", "nothing but its merge"),
        (replace(OPEN, draft=True), "waiting_for_review", "it is a draft"),
        (
            replace(OPEN, spent_remarks=1),
            "waiting_for_review",
            "remarks that Squire has answered before are left to people",
        ),
        (replace(OPEN, needs_approval=True), "waiting_for_review", "the policy wants a person's approval"),
        (
            replace(OPEN, review=ReviewDecision.CHANGES_REQUESTED),
            "waiting_for_review",
            "a reviewer has asked for changes",
        ),
        (
            replace(OPEN, mergeability=Mergeability.CONFLICTING),
            "updating",
            "it conflicts with its base; where that stands is not known yet",
        ),
        (
            replace(CONFLICTING, under_way=FollowUpKind.CONFLICT),
            "updating",
            "an agent resolves its conflict with its base",
        ),
        (
            replace(CONFLICTING, base=BaseFacts(is_gone=True)),
            "waiting_for_review",
            "its base branch is gone; a person gives it another",
        ),
        (
            replace(BEHIND, base=BaseFacts(is_known=True, merge=MergeState.REQUESTED, may_try=False)),
            "updating",
            "GitHub brings its branch up to date with its base",
        ),
        (replace(BEHIND, checks=ChecksState.PENDING), "waiting_for_ci", "its checks run"),
        (replace(BEHIND, draft=True), "waiting_for_review", "it is a draft"),
        (replace(OPEN, unread_head=True), "waiting_for_ci", "its head is none of ours; whose it is, is looked at"),
        (
            replace(FAILED, checks_since=NOW - timedelta(seconds=29)),
            "waiting_for_ci",
            "a check has failed; others may still run",
        ),
        (
            replace(FAILED, failed_checks=0),
            "waiting_for_ci",
            "a check has failed, and what it says is not read yet",
        ),
        (replace(FAILED, under_way=FollowUpKind.CHECKS), "fixing", "an agent mends its checks"),
        (replace(OPEN, under_way=FollowUpKind.REMARKS), "answering", "an agent answers its remarks"),
        (replace(OPEN, handed_over="it is theirs"), "handed_over", "it is theirs"),
        (replace(FAILED, failed_checks=0, handed_over=NO_WORK), "handed_over", NO_WORK),
        (replace(OPEN, checks=None, handed_over=NO_WORK), "handed_over", NO_WORK),
        (replace(OPEN, handed_over=NO_WORK), "waiting_for_merge", "nothing but its merge"),
        (replace(OPEN, checks=ChecksState.PENDING, handed_over=NO_WORK), "waiting_for_ci", "its checks run"),
        (replace(OPEN, state=PullRequestState.MERGED), "merged", ""),
        (replace(OPEN, state=PullRequestState.CLOSED), "closed", ""),
        (replace(OPEN, state=PullRequestState.MERGED, landed=True), "landed_elsewhere", ""),
        (replace(FAILED, state=PullRequestState.REVERTED), "reverted", ""),
    ],
)
def test_a_pull_request_stands_where_its_facts_say(pull: FollowedPull, state: str, reason: str) -> None:
    step = next_step(pull, RULES, NOW)
    assert (step.state, step.reason, step.begin) == (state, reason, None)


def test_failed_checks_are_mended_until_the_bounds_are_reached() -> None:
    assert next_step(FAILED, RULES, NOW).begin is FollowUpKind.CHECKS
    same_head = next_step(replace(FAILED, fixes=2, fixes_of_head=2), RULES, NOW)
    assert (same_head.state, same_head.reason) == (
        FollowState.HANDED_OVER,
        "its checks fail, and 2 tries changed nothing",
    )
    in_all = next_step(replace(FAILED, fixes=3, fixes_of_head=1), RULES, NOW)
    assert (in_all.state, in_all.reason) == (FollowState.HANDED_OVER, "its checks fail after 3 tries to mend them")


def test_a_failure_that_is_no_work_for_an_agent_is_left_to_people_in_the_end() -> None:
    unread = replace(FAILED, failed_checks=0, checks_since=NOW - timedelta(seconds=RULES.unread_s))
    step = next_step(unread, RULES, NOW)
    assert step.state is FollowState.HANDED_OVER


def test_remarks_come_after_the_checks_and_end_after_so_many_rounds() -> None:
    assert next_step(replace(FAILED, remarks=2), RULES, NOW).begin is FollowUpKind.CHECKS
    step = next_step(replace(OPEN, remarks=2), RULES, NOW)
    assert (step.begin, step.reason) == (FollowUpKind.REMARKS, "2 remarks to answer")
    assert next_step(replace(OPEN, remarks=1, answers=5), RULES, NOW).state is FollowState.HANDED_OVER


def test_what_the_settings_leave_to_people_waits_for_them() -> None:
    rules = FollowRules(checks=False, remarks=False)
    step = next_step(replace(FAILED, remarks=1), rules, NOW)
    assert (step.state, step.begin) == (FollowState.WAITING_FOR_REVIEW, None)
    assert next_step(replace(OPEN, remarks=1), rules, NOW).begin is None


def with_base(pull: FollowedPull, **facts: object) -> FollowedPull:
    return replace(pull, base=replace(pull.base, **facts))  # type: ignore[arg-type]


def test_git_merges_what_it_can_before_checks_and_remarks() -> None:
    step = next_step(replace(CONFLICTING, checks=ChecksState.FAILED, failed_checks=1, remarks=1), RULES, NOW)
    assert (step.state, step.act, step.begin) == (FollowState.UPDATING, BaseAct.MERGE, None)
    refused = with_base(CONFLICTING, merge=MergeState.REFUSED, error="a ruleset", may_try=False)
    assert next_step(refused, RULES, NOW).act is None
    assert next_step(with_base(refused, may_try=True), RULES, NOW).act is BaseAct.MERGE
    spent = next_step(with_base(refused, is_spent=True), RULES, NOW)
    reason = "it conflicts with its base, which cannot be merged: a ruleset"
    assert (spent.state, spent.reason) == (FollowState.HANDED_OVER, reason)


def test_a_conflict_that_git_cannot_merge_is_an_agents_until_the_bounds_are_reached() -> None:
    conflict = with_base(CONFLICTING, merge=MergeState.CONFLICT)
    assert next_step(conflict, RULES, NOW).begin is FollowUpKind.CONFLICT
    same_base = next_step(with_base(conflict, resolves=2, resolves_of_base=2), RULES, NOW)
    assert same_base.reason == "it conflicts with its base, and 2 tries did not resolve it"
    in_all = next_step(with_base(conflict, resolves=3), RULES, NOW)
    assert in_all.reason == "it conflicts with its base again after 3 tries to resolve that"
    assert same_base.state is in_all.state is FollowState.HANDED_OVER
    to_people = FollowRules(base=BaseUpdateRules(conflicts=False))
    assert next_step(conflict, to_people, NOW).state is FollowState.WAITING_FOR_REVIEW


def test_a_branch_behind_its_base_is_updated_once_there_is_no_other_work_and_where_it_is_wanted() -> None:
    assert next_step(BEHIND, RULES, NOW).act is BaseAct.UPDATE
    assert next_step(replace(BEHIND, remarks=1), RULES, NOW).begin is FollowUpKind.REMARKS
    mergeable = replace(BEHIND, mergeability=Mergeability.MERGEABLE)
    assert next_step(mergeable, RULES, NOW).act is None
    always, never = (FollowRules(base=BaseUpdateRules(update=when)) for when in (UpdateWhen.ALWAYS, UpdateWhen.NEVER))
    assert next_step(mergeable, always, NOW).act is BaseAct.UPDATE
    assert next_step(with_base(mergeable, merge=MergeState.CURRENT), always, NOW).act is None
    assert next_step(BEHIND, never, NOW).state is FollowState.WAITING_FOR_REVIEW
    spent = {"merge": MergeState.REFUSED, "is_spent": True, "error": "a ruleset"}
    assert next_step(with_base(BEHIND, **spent), RULES, NOW).state is FollowState.HANDED_OVER
    assert next_step(with_base(mergeable, **spent), always, NOW).state is FollowState.WAITING_FOR_MERGE
    assert next_step(with_base(BEHIND, updates=20), RULES, NOW).state is FollowState.HANDED_OVER


def test_a_persons_commit_ends_our_work_there() -> None:
    step = next_step(replace(FAILED, remarks=1, people_pushed=True), RULES, NOW)
    assert (step.state, step.begin) == (FollowState.HANDED_OVER, None)


@pytest.mark.parametrize("pull", [FAILED, replace(OPEN, remarks=1)])
def test_no_agent_works_again_on_what_github_does_not_take_or_somebody_has_cancelled(pull: FollowedPull) -> None:
    step = next_step(replace(pull, refused="t7"), RULES, NOW)
    assert (step.state, step.begin) == (FollowState.HANDED_OVER, None)
    assert "task t7 says why" in step.reason
    step = next_step(replace(pull, cancelled=True), RULES, NOW)
    assert (step.state, step.reason) == (FollowState.HANDED_OVER, "somebody has cancelled the work on it")
    assert next_step(replace(OPEN, refused="t7", cancelled=True), RULES, NOW).state is FollowState.WAITING_FOR_MERGE


@given(PULLS)
def test_no_step_is_taken_beyond_a_bound_or_against_a_persons_word(pull: FollowedPull) -> None:
    step = next_step(pull, RULES, NOW)
    assert step == next_step(pull, RULES, NOW)
    assert step.state.is_final is (pull.state is not PullRequestState.OPEN)
    assert not (step.begin and step.state is FollowState.HANDED_OVER)
    if step.begin is not None:
        assert pull.handed_over is None
        assert not pull.people_pushed
        assert pull.under_way is None
        assert pull.refused is None
        assert not pull.cancelled
    if step.begin is FollowUpKind.CHECKS:
        assert pull.fixes < RULES.max_fixes
        assert pull.fixes_of_head < RULES.max_fixes_of_head
        assert pull.failed_checks
    if step.begin is FollowUpKind.REMARKS:
        assert pull.answers < RULES.max_answers
        assert pull.remarks
    if step.begin is FollowUpKind.CONFLICT:
        assert pull.base.resolves < RULES.base.max_resolves
        assert pull.base.resolves_of_base < RULES.base.max_resolves_of_base
    if step.act is not None or step.begin is not None or step.looks_at_head:
        assert (step.act, step.begin, step.looks_at_head).count(None) + (not step.looks_at_head) == 2
        assert not pull.people_pushed
    if step.act is not None:
        assert pull.base.updates < RULES.base.max_updates
        assert not pull.unread_head
        assert pull.under_way is None


@given(st.integers(0, 20), st.integers(1, 3), st.booleans())
def test_checks_that_never_pass_end_with_a_person(max_fixes: int, max_fixes_of_head: int, pushes: bool) -> None:  # noqa: FBT001 - drawn
    rules = FollowRules(max_fixes=max_fixes, max_fixes_of_head=max_fixes_of_head)
    pull, rounds = FAILED, 0
    while (step := next_step(pull, rules, NOW)).begin is not None:
        rounds += 1
        pull = replace(pull, fixes=pull.fixes + 1, fixes_of_head=0 if pushes else pull.fixes_of_head + 1)
    assert step.state is FollowState.HANDED_OVER
    assert rounds == (max_fixes if pushes else min(max_fixes, max_fixes_of_head))


def test_a_check_of_which_something_is_read_later_is_mended_after_it_was_left_to_people() -> None:
    assert next_step(replace(FAILED, handed_over=NO_WORK), RULES, NOW).begin is FollowUpKind.CHECKS
    assert next_step(replace(FAILED, handed_over="somebody said so"), RULES, NOW).begin is None
