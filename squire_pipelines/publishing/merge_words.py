"""What Squire says of its own merges on GitHub. Pure."""

from squire_pipelines.domain.merging import MergeProgress
from squire_pipelines.publishing.escaping import code, one_line

_MAX_REASON = 600


def merge_ended(progress: MergeProgress, reason: str) -> str:
    """Return the comment that says why Squire does not merge a pull request, and what people can do."""
    cause = one_line(reason, limit=_MAX_REASON).rstrip(".")
    if progress is MergeProgress.TAKEN_BACK:
        text = f"Squire does not merge this pull request, since {cause}, and that is a person's word."
    else:
        text = f"Squire could not merge this pull request. {cause[:1].upper()}{cause[1:]}."
    return f"{text}\n\nTo have it try again, somebody who may write comments `/squire retry`; or a person merges it."


def base_failed(reason: str, merge_sha: str | None, revert: int | None, revert_error: str | None) -> str:
    """Return the comment that says what fails in the base branch since a merge, and what is proposed."""
    lines = [f"The base branch fails since this was merged{f' as {merge_sha}' if merge_sha else ''}.", ""]
    lines += [f"- {one_line(reason, limit=_MAX_REASON)}"]
    if revert is not None:
        lines += ["", f"#{revert} takes it back. A person decides whether to merge that: Squire does not."]
    elif revert_error is not None:
        cause = one_line(revert_error, limit=_MAX_REASON).rstrip(".")
        lines += ["", f"Squire could not propose to take it back: {cause}. `git revert` does so by hand."]
    return "\n".join(lines)


def revert_body(place: str, base: str, reason: str) -> str:
    """Return the text of a pull request that takes another back; its first line is GitHub's own for that.

    Args:
        place: The pull request that is taken back, `owner/name#number`.
        base: The branch that fails.
        reason: What fails there.
    """
    return (
        f"Reverts {place}\n\nThe branch {code(base)} fails since that was merged: "
        f"{one_line(reason, limit=_MAX_REASON)}.\n\nA person decides whether to merge this: Squire does not."
    )
