"""What Squire says of its own merges on GitHub. Pure."""

from squire_pipelines.domain.merging import MergeProgress
from squire_pipelines.publishing.escaping import one_line

_MAX_REASON = 600


def merge_ended(progress: MergeProgress, reason: str) -> str:
    """Return the comment that says why Squire does not merge a pull request, and what people can do."""
    cause = one_line(reason, limit=_MAX_REASON).rstrip(".")
    if progress is MergeProgress.TAKEN_BACK:
        text = f"Squire does not merge this pull request, since {cause}, and that is a person's word."
    else:
        text = f"Squire could not merge this pull request. {cause[:1].upper()}{cause[1:]}."
    return f"{text}\n\nTo have it try again, somebody who may write comments `/squire retry`; or a person merges it."
