"""Signals for tests: one of each kind with defaults, and Hypothesis strategies for any set of them."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.signals import (
    Details,
    FailedCheck,
    ManualTask,
    OpenIssue,
    OpenPullRequest,
    ReviewFinding,
    Signal,
)

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SHA = "a" * 40
MAY_START = StartVerdict(may_start=True, reason="@ada, who has write permission here")
HELD = StartVerdict(may_start=False, reason="@ada may not write here (permission read)")


def signal(key: str, details: Details, **fields: Any) -> Signal:
    """A signal of `o/r`, which may start work."""
    values = {
        "version": "v1",
        "title": f"Title {key}",
        "url": f"https://github.test/{key}",
        "updated_at": AT,
        "verdict": MAY_START,
        **fields,
    }
    return Signal(repository="o/r", key=key, details=details, **values)


def failed_check(name: str = "test", *, branch: str = "main", pull_request: int | None = None, **fields: Any) -> Signal:
    """A failed check of the default branch, or of a pull request when its number is given."""
    details = FailedCheck(
        check=name,
        conclusion="failure",
        branch=branch,
        head_sha=fields.pop("head_sha", SHA),
        pull_request=pull_request,
        workflow="CI",
        summary=fields.pop("summary", "1 failed"),
        on_default_branch=pull_request is None,
        from_fork=fields.pop("from_fork", False),
    )
    return signal(f"{branch if pull_request is None else f'#{pull_request}'}:{name}", details, **fields)


def issue(number: int = 10, *, labels: tuple[str, ...] = ("squire",), body: str = "please", **fields: Any) -> Signal:
    """An open issue."""
    return signal(str(number), OpenIssue(number=number, author="ada", labels=labels, body=body), **fields)


def finding(thread: str = "T1", *, pull_request: int = 3, body: str = "this leaks", **fields: Any) -> Signal:
    """A reviewer's remark."""
    details = ReviewFinding(
        pull_request=pull_request,
        thread=thread,
        author="ada",
        is_bot=fields.pop("is_bot", False),
        body=body,
        path=fields.pop("path", "src/a.py"),
        line=fields.pop("line", 3),
        head_ref=fields.pop("head_ref", f"feature-{pull_request}"),
        head_sha=SHA,
        from_fork=fields.pop("from_fork", False),
    )
    return signal(thread, details, **fields)


def open_pr(number: int = 3, *, is_draft: bool = False, closes: tuple[int, ...] = ()) -> Signal:
    """An open pull request."""
    details = OpenPullRequest(
        number=number,
        author="ada",
        is_draft=is_draft,
        head_ref=f"feature-{number}",
        head_sha=SHA,
        base_ref="main",
        closes=closes,
    )
    return signal(str(number), details)


def manual(key: str = "m1", *, body: str = "do it", **fields: Any) -> Signal:
    """A wish of a person."""
    return signal(key, ManualTask(author="ada", body=body), **fields)


texts = st.text(max_size=40)
branches = st.sampled_from(["main", "feature", "squire/t1-x", "dépôt/ünï", ""])
numbers = st.integers(1, 5)
details_of_any_kind = st.one_of(
    st.builds(
        OpenPullRequest,
        number=numbers,
        author=texts,
        is_draft=st.booleans(),
        head_ref=branches,
        head_sha=texts,
        base_ref=branches,
    ),
    st.builds(
        FailedCheck,
        check=texts,
        conclusion=texts,
        branch=branches,
        head_sha=st.sampled_from(["a", "b"]),
        pull_request=st.none() | numbers,
        workflow=st.none() | texts,
        summary=texts,
        on_default_branch=st.booleans(),
        from_fork=st.booleans(),
    ),
    st.builds(
        OpenIssue,
        number=numbers,
        author=texts,
        labels=st.lists(st.sampled_from(["squire", "SQUIRE", "bug"]), max_size=2).map(tuple),
        body=st.text(max_size=40) | st.just("x" * 60_000),
    ),
    st.builds(
        ReviewFinding,
        pull_request=numbers,
        thread=texts,
        author=texts,
        is_bot=st.booleans(),
        body=texts,
        path=st.none() | texts,
        line=st.none() | numbers,
        head_ref=branches,
        head_sha=texts,
        from_fork=st.booleans(),
    ),
    st.builds(ManualTask, author=texts, body=texts | st.just("y" * 90_000)),
)
any_signals = st.lists(
    st.builds(
        signal,
        st.text(max_size=6),
        details_of_any_kind,
        version=texts,
        title=texts | st.just("t" * 500),
        verdict=st.sampled_from([MAY_START, HELD, None]),
    ),
    max_size=25,
)
