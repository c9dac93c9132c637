"""Filters: which signals are for Squire, as a repository's owner says."""

import pytest

from squire_pipelines.domain.filters import NO_FILTERS, OpenPullRequests, SignalFilters, left_out_by
from squire_pipelines.domain.signals import (
    Details,
    FailedCheck,
    ManualTask,
    OpenIssue,
    OpenPullRequest,
    PluginFact,
    ReviewFinding,
    Signal,
)
from tests.support.ledgers import REPOSITORY, START


def signal(details: Details) -> Signal:
    return Signal(repository=REPOSITORY, key="k", version="v", title="t", url="u", updated_at=START, details=details)


PULL = OpenPullRequest(
    number=7, author="Ada", is_draft=True, head_ref="feature/x", head_sha="a" * 40, base_ref="main", labels=("Bug",)
)
ISSUE = signal(OpenIssue(number=1, author="Ada", labels=("Bug", "squire")))
CHECK = signal(
    FailedCheck(
        check="tests", conclusion="failure", branch="feature/x", head_sha="a" * 40, pull_request=7,
        pull_request_author="Ada", on_default_branch=False,
    )
)  # fmt: skip
RED_MAIN = signal(
    FailedCheck(check="tests", conclusion="failure", branch="main", head_sha="a" * 40, on_default_branch=True)
)
REMARK = signal(
    ReviewFinding(
        pull_request=7, thread="T", author="coderabbitai", is_bot=True, body="b", path="src/app/main.py", line=3,
        head_ref="feature/x", head_sha="a" * 40,
    )
)  # fmt: skip
REQUEST = signal(ManualTask(author="ann", body="Do it."))
FACT = signal(PluginFact(source="todo", author="ben"))
ALL = {"issue": ISSUE, "check": CHECK, "main": RED_MAIN, "remark": REMARK, "request": REQUEST, "fact": FACT}
PULLS = OpenPullRequests.among([signal(PULL), *ALL.values()])


@pytest.mark.parametrize(
    ("filters", "left_out"),
    [
        (SignalFilters(), set()),
        (SignalFilters(labels=("BUG",)), set()),
        (SignalFilters(labels=("other",)), {"issue", "check", "remark"}),
        (SignalFilters(ignore_labels=("bug",)), {"issue", "check", "remark"}),
        (SignalFilters(authors=("ADA",)), {"remark", "fact"}),
        (SignalFilters(ignore_authors=("ada",)), {"issue", "check"}),
        (SignalFilters(authors=("CodeRabbitAI[bot]",)), {"issue", "check", "fact"}),
        (SignalFilters(branches=("main",)), {"check", "remark"}),
        (SignalFilters(branches=("feature/*",)), {"main"}),
        (SignalFilters(paths=("src/**",)), set()),
        (SignalFilters(paths=("docs/**",)), {"remark"}),
        (SignalFilters(drafts=False), {"check", "remark"}),
        (SignalFilters(sources=("failed_ci",)), {"issue", "remark", "fact"}),
        (SignalFilters(sources=("todo", "open_issues")), {"check", "main", "remark"}),
    ],
)
def test_each_filter_leaves_out_what_it_is_about_and_never_a_persons_request(
    filters: SignalFilters, left_out: set[str]
) -> None:
    assert {name for name, item in ALL.items() if left_out_by(item, filters, PULLS) is not None} == left_out


def test_the_filter_is_named() -> None:
    assert left_out_by(ISSUE, SignalFilters(ignore_labels=("bug",)), PULLS) == "ignore_labels"
    assert left_out_by(CHECK, SignalFilters(branches=("main",)), PULLS) == "branches"
    assert left_out_by(ISSUE, NO_FILTERS, PULLS) is None


def test_what_is_about_a_pull_request_that_was_not_read_has_no_labels_to_go_by() -> None:
    assert left_out_by(CHECK, SignalFilters(labels=("other",)), OpenPullRequests()) is None
