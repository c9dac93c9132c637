"""The pages of a pull request's reviews and comments: the newest come first, and earlier ones until all are there."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from squire_pipelines.github.models import Nodes, PullRequest, PullRequestPart, ReviewThread

_ItemT = TypeVar("_ItemT")


async def read_all_remarks(
    pull: PullRequest, ask: Callable[[dict[str, object]], Awaitable[PullRequestPart | None]], *, max_items: int
) -> tuple[PullRequest, bool]:
    """Return the pull request with the earlier pages of its reviews and comments, and whether there are more still."""
    while (variables := _earlier_remarks(pull)) is not None:
        if max(len(part.items) if part else 0 for part in (pull.reviews, pull.comments)) >= max_items:
            return pull, True
        part = await ask(variables)
        earlier = pull if part is None else _with_earlier_remarks(pull, part)
        if _earlier_remarks(earlier) == variables:  # GitHub gives no other page
            return pull, True
        pull = earlier
    return pull, False


def _earlier_remarks(pull: PullRequest) -> dict[str, object] | None:
    """Return the variables of the query for earlier reviews and comments; None when all are there."""
    reviews, comments = _earlier(pull.reviews), _earlier(pull.comments)
    if reviews is None and comments is None:
        return None
    return {
        "number": pull.number,
        "withReviews": reviews is not None,
        "reviewsBefore": reviews,
        "withComments": comments is not None,
        "commentsBefore": comments,
    }


def _with_earlier_remarks(pull: PullRequest, part: PullRequestPart) -> PullRequest:
    """Return the pull request with the reviews and comments of an earlier page before its own."""
    return pull.model_copy(
        update={"reviews": _joined(part.reviews, pull.reviews), "comments": _joined(part.comments, pull.comments)}
    )


def is_cut_off(thread: ReviewThread) -> bool:
    """Return whether a thread has more comments than were read."""
    return thread.comments.total_count > len(thread.comments.items)


def _earlier(part: Nodes[_ItemT] | None) -> str | None:
    """Return before which item the earlier page ends; None where there is none, or GitHub does not say."""
    if part is None or part.page_info is None or not part.page_info.has_previous_page:
        return None
    return part.page_info.start_cursor


def _joined(earlier: Nodes[_ItemT] | None, later: Nodes[_ItemT] | None) -> Nodes[_ItemT] | None:
    if earlier is None or later is None:
        return later
    return earlier.model_copy(update={"items": (*earlier.items, *later.items)})
