"""Outcomes: what became of a task's pull request, and whether a report of it is news."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from squire_pipelines.domain.frozen import FrozenModel


class PullRequestState(StrEnum):
    """The state of a task's pull request."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"
    REVERTED = "reverted"


class ChecksState(StrEnum):
    """What all checks of a commit say together."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"


class ReviewState(StrEnum):
    """Whether the policy asks for a person's approval of a pull request, and what the person decided."""

    NONE = "none"
    NEEDS_APPROVAL = "needs_approval"
    APPROVED = "approved"
    REJECTED = "rejected"


def review_after(review: ReviewState, state: PullRequestState) -> ReviewState:
    """Return the review state once the pull request's own state is `state`: a merge approves, a close rejects."""
    if review not in {ReviewState.NEEDS_APPROVAL, ReviewState.REJECTED}:
        return review
    if state in {PullRequestState.MERGED, PullRequestState.REVERTED}:
        return ReviewState.APPROVED
    return ReviewState.REJECTED if state is PullRequestState.CLOSED else ReviewState.NEEDS_APPROVAL


class Mergeability(StrEnum):
    """What GitHub says of merging: `unknown` while it has not worked it out, `behind` where the base wants it newer."""

    MERGEABLE = "mergeable"
    BEHIND = "behind"
    CONFLICTING = "conflicting"
    UNKNOWN = "unknown"


class ReviewDecision(StrEnum):
    """What the reviews that the base branch asks for say together."""

    NONE = "none"
    REVIEW_REQUIRED = "review_required"
    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"


class PullRequestReport(FrozenModel):
    """What GitHub said of a pull request at `updated_at`, in a delivery or in an answer.

    What a delivery does not tell is None. `base_sha` is the head that the base branch has, None where it is gone; only
    a report that names `base_ref` says anything of it.
    """

    repository: str
    number: int
    url: str
    head_ref: str
    head_sha: str
    state: PullRequestState
    updated_at: datetime
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    checks: ChecksState | None = None
    mergeability: Mergeability | None = None
    review_decision: ReviewDecision | None = None
    draft: bool | None = None
    base_ref: str | None = None
    base_sha: str | None = None


PR_TRANSITIONS: Mapping[PullRequestState, frozenset[PullRequestState]] = MappingProxyType(
    {
        # A report can be lost, or be overtaken by the next: no state in between is needed.
        PullRequestState.OPEN: frozenset(PullRequestState) - {PullRequestState.OPEN},
        PullRequestState.CLOSED: frozenset(PullRequestState) - {PullRequestState.CLOSED},
        PullRequestState.MERGED: frozenset({PullRequestState.REVERTED}),
        PullRequestState.REVERTED: frozenset(),
    }
)


def report_applies(
    known_state: PullRequestState,
    known_updated_at: datetime,
    report_state: PullRequestState,
    updated_at: datetime,
) -> bool:
    """Return whether a report is not older than what is known, and its change of state is one that GitHub can make.

    Deliveries arrive in any order; GitHub's `updated_at` orders them. A report of the same time counts too, since
    `updated_at` has a resolution of one second.
    """
    if updated_at < known_updated_at:
        return False
    return report_state is known_state or report_state in PR_TRANSITIONS[known_state]
