from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.pull_endings import (
    BranchCommit,
    CloseFacts,
    ClosingActor,
    JudgedEnding,
    PullEnding,
    commits_of_others,
    expiry_reason,
    judge_close,
    judge_merge,
)

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
MARA, STALE_BOT = ClosingActor("mara", is_bot=False), ClosingActor("stale", is_bot=True)
CLOSED = CloseFacts(at=AT, by=MARA, author="squire[bot]", pulls_url="https://github.com/acme/app/pull")
COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("facts", "ending", "reason"),
    [
        (CLOSED, "closed_by_person", "closed by mara"),
        (replace(CLOSED, by=STALE_BOT), "closed_by_bot", "closed by the bot stale"),
        (replace(CLOSED, by=None), "unknown", "closed; GitHub does not say by whom"),
        (
            replace(CLOSED, branch_deleted_at=AT + timedelta(seconds=2), branch_deleted_by=MARA),
            "closed_with_branch",
            "its branch was deleted by mara",
        ),
        (replace(CLOSED, branch_deleted_at=AT), "closed_with_branch", "its branch was deleted"),
        (replace(CLOSED, branch_deleted_at=AT + timedelta(seconds=3)), "closed_by_person", "closed by mara"),
        (replace(CLOSED, closing_pull=9), "superseded", "superseded by #9, which closed it"),
        (
            replace(CLOSED, closing_commit=COMMIT),
            "superseded",
            "superseded by the commit cccccccccccc, which closed it",
        ),
        (replace(CLOSED, issues_closed_by={5: 9}), "superseded", "superseded by #9, which closed issue #5"),
        (replace(CLOSED, issues_closed_by={5: 7}), "closed_by_person", "closed by mara"),
        (replace(CLOSED, words=("Superseded by #12.",)), "superseded", "superseded by #12, as mara wrote"),
        (
            replace(CLOSED, words=("no", "replaced by https://github.com/acme/app/pull/12, thanks")),
            "superseded",
            "superseded by #12, as mara wrote",
        ),
        (
            replace(
                CLOSED, words=("Superseded by https://h/lib/pull/12, replaced by [it](https://H/Acme/app/pull/13).",)
            ),
            "superseded",
            "superseded by #13, as mara wrote",
        ),
        (
            replace(CLOSED, words=("Superseded by https://github.com/acme/lib/pull/12.",)),
            "closed_by_person",
            "closed by mara",
        ),
        (replace(CLOSED, words=("see #12", "superseded by #7")), "closed_by_person", "closed by mara"),
    ],
)
def test_a_close_is_told_apart_by_what_github_says(facts: CloseFacts, ending: str, reason: str) -> None:
    judged = judge_close(facts, 7)
    assert (judged.ending, judged.reason) == (ending, reason)


@pytest.mark.parametrize(
    ("idle", "limit", "reason"),
    [
        (30, 30, "nothing happened here for 30 days"),
        (9, 1, "nothing happened here for 1 day"),
        (29, 30, None),
        (900, 0, None),
    ],
)
def test_one_expires_after_its_limit_and_never_without_one(idle: int, limit: int, reason: str | None) -> None:
    assert expiry_reason(timedelta(days=idle), timedelta(days=limit)) == reason


def test_a_later_pull_request_of_ours_about_the_same_has_superseded_it() -> None:
    judged = judge_close(CLOSED, 7, own_successor=12)
    assert (judged.ending, judged.other, judged.by) == (PullEnding.SUPERSEDED, 12, "mara")
    assert judge_close(CLOSED, 7, own_successor=7).ending is PullEnding.CLOSED_BY_PERSON


def test_one_that_squire_closed_itself_is_stale_unless_somebody_came_first() -> None:
    ours = replace(CLOSED, by=ClosingActor("Squire[bot]", is_bot=True))
    assert judge_close(ours, 7, expired_by_us="nothing happened").ending is PullEnding.STALE
    assert judge_close(CLOSED, 7, expired_by_us="nothing happened").ending is PullEnding.CLOSED_BY_PERSON
    assert judge_close(ours, 7).ending is PullEnding.CLOSED_BY_BOT


COMMITS = st.lists(
    st.builds(BranchCommit, sha=st.sampled_from("abcdefgh"), is_merge=st.booleans(), added=st.integers(0, 9)),
    unique_by=lambda commit: commit.sha,
)


@given(COMMITS, st.frozensets(st.sampled_from("abcdefgh")), st.none() | st.sampled_from("abcdefgh"))
def test_what_is_ours_or_a_merge_is_never_counted_as_anothers(
    line: list[BranchCommit], own: frozenset[str], taken_up: str | None
) -> None:
    others = commits_of_others(line, own, taken_up)
    shas = [commit.sha for commit in line]
    if not own & set(shas):
        assert others is None
        return
    assert others is not None
    assert not any(commit.is_merge or commit.sha in own for commit in others)
    newest = min(index for index, sha in enumerate(shas) if sha in own)
    assert [c for c in line[:newest] if not c.is_merge] == list(others[: sum(not c.is_merge for c in line[:newest])])
    if taken_up is None or taken_up in own:
        assert all(shas.index(commit.sha) < newest for commit in others)


def test_a_persons_commits_below_a_taken_up_head_count_and_ours_below_them_do_not() -> None:
    line = [BranchCommit(sha, added=2, removed=1) for sha in ("ours2", "hers2", "hers1", "ours1", "older")]
    others = commits_of_others(line, {"ours1", "ours2"}, "hers2")
    assert others is not None
    assert [commit.sha for commit in others] == ["hers2", "hers1"]
    assert judge_merge(others, by="mara") == JudgedEnding(
        PullEnding.MERGED_CHANGED,
        "merged by mara with 2 commits of others: 4 lines added, 2 removed",
        "mara",
        None,
        2,
        4,
        2,
    )


def test_a_merge_without_commits_of_others_is_unchanged_and_a_rewritten_one_is_not_counted() -> None:
    assert judge_merge(()).ending is PullEnding.MERGED_UNCHANGED
    assert judge_merge(None).people_commits is None
    assert judge_merge([BranchCommit("x", added=1)]).reason.startswith("merged with 1 commit of others")
