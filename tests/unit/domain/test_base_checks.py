from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.base_checks import (
    BaseRules,
    BaseVerdict,
    CommitCheck,
    MergedCommit,
    SecondRun,
    judge_base,
    takes_back,
)
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.reruns import RerunState
from squire_pipelines.sections.base_watch import AfterMergeSettings

MERGED = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NOW = MERGED + timedelta(minutes=10)
RULES = BaseRules(revert=True)
FAILS = CommitCheck("test", ChecksState.FAILED, check_run=11, workflow_run=7)
PASSED = CommitCheck("test", ChecksState.PASSED)
FIRST = MergedCommit((FAILS,), (PASSED,), touched=("src/a.py",))
AGAIN = replace(
    FIRST,
    checks=(replace(FAILS, check_run=12),),
    second_runs={7: SecondRun(RerunState.WAITING, (11,), NOW + timedelta(hours=1))},
)
CHECKS = st.lists(
    st.builds(
        CommitCheck,
        name=st.sampled_from(("test", "lint")),
        state=st.sampled_from(ChecksState),
        check_run=st.integers(11, 13),
        workflow_run=st.none() | st.just(7),
    ),
    max_size=3,
    unique_by=lambda check: check.name,
).map(tuple)
COMMITS = st.builds(
    MergedCommit,
    checks=CHECKS,
    before=CHECKS,
    second_runs=st.dictionaries(
        st.just(7), st.builds(SecondRun, state=st.sampled_from(RerunState), check_runs=st.just((11,))), max_size=1
    ),
    failing_paths=st.sampled_from(((), ("src/a.py",), ("docs/b.md",))),
    touched=st.sampled_from((None, ("src/a.py",))),
    is_revert=st.booleans(),
)


@given(COMMITS, st.builds(BaseRules, rerun=st.booleans(), revert=st.booleans()))
def test_a_revert_is_proposed_of_what_a_merge_certainly_broke_alone(commit: MergedCommit, rules: BaseRules) -> None:
    step = judge_base(commit, rules, merged_at=MERGED, now=NOW)
    assert step.reason
    assert not (step.rerun and step.verdict is not BaseVerdict.WAITING)
    assert not set(step.rerun) & set(commit.second_runs), "once"
    if not step.reverts:
        return
    assert (rules.revert, step.verdict, commit.is_revert) == (True, BaseVerdict.BROKEN, False)
    before = {check.name: check.state for check in commit.before}
    assert any(
        check.state is ChecksState.FAILED and before.get(check.name) is ChecksState.PASSED for check in commit.checks
    )
    assert all(check.state is not ChecksState.PENDING for check in commit.checks)
    assert commit.failing_paths != ("docs/b.md",) or commit.touched is None


@pytest.mark.parametrize(
    ("commit", "verdict", "reason"),
    [
        (MergedCommit(()), "waiting", "no check of the base branch has begun"),
        (MergedCommit((replace(PASSED, state=ChecksState.PENDING),)), "waiting", "the checks of the base branch run"),
        (MergedCommit((PASSED,)), "passed", "the checks of the base branch passed"),
        (replace(AGAIN, checks=(PASSED,)), "passed", "the checks of the base branch passed when run again"),
        (replace(FIRST, before=(FAILS,)), "red_before", "test failed before the merge, too"),
        (FIRST, "waiting", "test failed on the merge, and is run again"),
        (
            replace(AGAIN, checks=(FAILS,)),
            "waiting",
            "test failed on the merge, and its second run is waited for",
        ),
        (
            replace(
                AGAIN,
                checks=(FAILS,),
                second_runs={7: SecondRun(RerunState.UNKNOWN, (11,), NOW + timedelta(hours=1))},
            ),
            "waiting",
            "test failed on the merge, and its second run is waited for",
        ),
        (AGAIN, "broken", "test passed before the merge and fails now, in a second run, too"),
        (replace(AGAIN, before=()), "unknown", "test fails, and nobody knows whether it did before the merge"),
        (
            replace(AGAIN, failing_paths=("docs/b.md",)),
            "elsewhere",
            "test passed before the merge and fails now, in a second run, too, in docs/b.md, which it did not touch",
        ),
        (
            replace(FIRST, checks=(replace(FAILS, workflow_run=None),)),
            "broken",
            "test passed before the merge and fails now, and was not run again",
        ),
    ],
)
def test_a_failure_after_a_merge_is_attributed(commit: MergedCommit, verdict: str, reason: str) -> None:
    step = judge_base(commit, RULES, merged_at=MERGED, now=NOW)
    assert (step.verdict, step.reason) == (verdict, reason)


def test_nothing_is_waited_for_without_end() -> None:
    late = MERGED + timedelta(hours=3)
    for commit in (MergedCommit(()), MergedCommit((replace(PASSED, state=ChecksState.PENDING),))):
        assert judge_base(commit, RULES, merged_at=MERGED, now=late).verdict is BaseVerdict.UNKNOWN
    hung = replace(AGAIN, checks=(FAILS,))
    assert judge_base(hung, RULES, merged_at=MERGED, now=late).verdict is BaseVerdict.BROKEN


def test_a_revert_is_never_reverted() -> None:
    assert judge_base(AGAIN, RULES, merged_at=MERGED, now=NOW).reverts
    assert not judge_base(replace(AGAIN, is_revert=True), RULES, merged_at=MERGED, now=NOW).reverts
    assert takes_back('Revert "A"', "")
    assert takes_back("Undo it", "Why not.\n\nReverts acme/api#7")
    assert takes_back("Undo it", "This reverts commit " + "a" * 40)
    assert not takes_back("Revert button of the form", "It reverts nothing.")


@pytest.mark.parametrize("body", ["> Reverts acme/api#7", "```\nReverts #7\n```", "<!--\nThis reverts commit abc\n-->"])
def test_what_a_merged_text_quotes_makes_no_revert_of_it(body: str) -> None:
    assert not takes_back("Tell of reverts", body)


def test_the_settings_bound_how_long_a_merge_is_watched() -> None:
    running = MergedCommit((replace(PASSED, state=ChecksState.PENDING),))
    rules = AfterMergeSettings(watch_s=600).rules(rerun=True)
    verdicts = [
        judge_base(running, rules, merged_at=MERGED, now=MERGED + timedelta(seconds=seconds)).verdict
        for seconds in (599, 600)
    ]
    assert verdicts == [BaseVerdict.WAITING, BaseVerdict.UNKNOWN]
