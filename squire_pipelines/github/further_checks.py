"""The pages of a commit's checks: whether more are needed, and how two are put together. Pure."""

from squire_pipelines.github.models import Commit, Rollup


def more_checks(head: Commit) -> str | None:
    """Return where the next page of a commit's checks begins; None without one, or when all checks have passed."""
    rollup = head.status_check_rollup
    if rollup is None or rollup.contexts is None or rollup.state == "SUCCESS":
        return None
    return rollup.contexts.page_info.next_cursor


def joined(head: Commit, further: Commit) -> Commit:
    """Return `head` with the checks of its next page."""
    rollup = further.status_check_rollup
    if head.checks is not None and rollup is not None and rollup.contexts is not None:
        contexts = rollup.contexts.model_copy(update={"items": (*head.checks.items, *rollup.contexts.items)})
        rollup = Rollup(state=rollup.state, contexts=contexts)
    return head.model_copy(update={"status_check_rollup": rollup})
