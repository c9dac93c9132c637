"""Outcomes: what became of a task's pull request, and which of two reports of it is the later."""

from datetime import datetime
from enum import StrEnum

from squire_pipelines.domain.frozen import FrozenModel


class PullRequestState(StrEnum):
    """The state of a task's pull request."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"
    REVERTED = "reverted"


class ChecksState(StrEnum):
    """What the checks of a commit say together."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"


class ReviewState(StrEnum):
    """Whether a person has to let a pull request pass that the policy held."""

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


class PullRequestReport(FrozenModel):
    """What GitHub said of a pull request at `updated_at`, by a delivery or by an answer to our question."""

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


PR_TRANSITIONS: frozenset[tuple[PullRequestState, PullRequestState]] = frozenset(
    {
        (PullRequestState.OPEN, PullRequestState.MERGED),
        (PullRequestState.OPEN, PullRequestState.CLOSED),
        (PullRequestState.CLOSED, PullRequestState.OPEN),
        (PullRequestState.MERGED, PullRequestState.REVERTED),
        # A report can be lost, or be overtaken by the next: what lies between must not be needed.
        (PullRequestState.CLOSED, PullRequestState.MERGED),
        (PullRequestState.OPEN, PullRequestState.REVERTED),
        (PullRequestState.CLOSED, PullRequestState.REVERTED),
    }
)


def report_applies(
    known_state: PullRequestState,
    known_updated_at: datetime,
    report_state: PullRequestState,
    updated_at: datetime,
) -> bool:
    """Whether a report changes what is known: it is not older, and its change of state is one that GitHub can make.

    Deliveries arrive in any order; GitHub's `updated_at` orders them. A merge is taken even from a report that ties,
    since `updated_at` has a resolution of one second.
    """
    if updated_at < known_updated_at:
        return False
    return report_state is known_state or (known_state, report_state) in PR_TRANSITIONS
