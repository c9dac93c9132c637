"""Episodes: the time from a fact's opening to its end. A fact that returns opens a new one. Pure."""

from enum import StrEnum

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.signals import FailedCheck, ManualTask, OpenPullRequest, PluginFact, ReviewFinding, Signal


class EpisodeChange(StrEnum):
    """What happened to an episode: `reopened` opens one of a fact that had an earlier one."""

    OPENED = "opened"
    CHANGED = "changed"
    GONE = "gone"
    REOPENED = "reopened"


class EpisodeFacts(FrozenModel):
    """What is asked about episodes later, when the signal itself has changed or is gone.

    `waits_for` is the login of the person whose turn it is, None when nobody in particular has to act.
    """

    branch: str | None = None
    on_default_branch: bool | None = None
    pull_request: int | None = None
    waits_for: str | None = None


def episode_facts(signal: Signal) -> EpisodeFacts:
    """Return what an episode keeps of its signal.

    A failed check and a remark wait for the author of their pull request. An open pull request waits for its author
    while it is a draft, its checks have failed, or a remark is unresolved; otherwise for any reviewer.
    """
    match signal.details:
        case FailedCheck() as check:
            return EpisodeFacts(
                branch=check.branch,
                on_default_branch=check.on_default_branch,
                pull_request=check.pull_request,
                waits_for=check.pull_request_author,
            )
        case ReviewFinding() as finding:
            return EpisodeFacts(
                branch=finding.head_ref, pull_request=finding.pull_request, waits_for=finding.pull_request_author
            )
        case OpenPullRequest() as pull:
            is_authors_turn = pull.is_draft or pull.ci_state == "failed" or pull.unresolved_threads > 0
            return EpisodeFacts(
                branch=pull.head_ref, pull_request=pull.number, waits_for=pull.author if is_authors_turn else None
            )
        case ManualTask() | PluginFact() as task:
            return EpisodeFacts(branch=task.branch)
        case _:
            return EpisodeFacts()
