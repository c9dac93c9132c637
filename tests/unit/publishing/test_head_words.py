"""What is reported on our commits: one line and what Squire did, settled once nothing more is to be said."""

import pytest

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus
from squire_pipelines.publishing.head_words import WorkOnPull, head_report, replaced_report

URL = "https://github.test/o/r/pull/7"
OPENED = WorkOnPull("t1", None, opened_it=True)


@pytest.mark.parametrize("state", FollowState)
def test_each_state_is_reported_and_settled_where_it_is_final(state: FollowState) -> None:
    report = head_report(state, "", [OPENED], url=URL)
    assert report.settled == state.is_final
    assert report.title
    assert "task `t1` opened it" in report.summary


def test_a_state_that_is_not_known_is_followed_still() -> None:
    assert [head_report(state, None, [], url=URL).settled for state in (None, "of_a_later_version")] == [False, False]


def test_it_says_what_was_done_and_what_is_waited_for_and_works_nothing() -> None:
    work = [
        OPENED,
        WorkOnPull("t2", TaskStatus.RUNNING, FollowUpKind.CHECKS),
        WorkOnPull("t3", TaskStatus.FAILED, FollowUpKind.REMARKS),
        WorkOnPull("t4", TaskStatus.READY),
    ]
    report = head_report(FollowState.HANDED_OVER, "@ann <!-- #3\n" + "x" * 300, work, url=URL)
    assert len(report.title) <= 140
    for text in (report.title, report.summary):
        assert "@ann" not in text
        assert "<!--" not in text
    assert "- task `t2` works on failed checks: running\n- task `t3` works on remarks: failed\n" in report.summary
    assert "- task `t4` does what somebody asked for: ready\n" in report.summary
    assert report.digest == head_report(FollowState.HANDED_OVER, "@ann <!-- #3\n" + "x" * 300, work, url=URL).digest
    assert report.digest != head_report(FollowState.HANDED_OVER, "another", work, url=URL).digest


def test_a_commit_that_another_has_replaced_is_settled() -> None:
    report = replaced_report("f" * 40, [OPENED], url=URL)
    assert (report.settled, report.title) == (True, f"Replaced by {'f' * 10}")
    assert replaced_report(None, [], url="").settled
