"""A no is a no: a fact whose pull request a person closed waits until somebody asks for it again. Pure.

Somebody asks by a label that was set after the close, by a release after it, or by giving an issue another title or a
task file another text. Who asks in a comment or at a terminal makes a task, which is then the fact's newest one.
"""

from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.domain.authority import Provenance, SignalDecision, TrustRules, valid_approvals
from squire_pipelines.domain.signals import ManualTask, OpenIssue, Signal
from squire_pipelines.domain.terminal_text import one_line

_TITLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class ClosedTask:
    """The newest task of a fact, whose pull request was closed and not merged.

    Args:
        task_id: Which task.
        title: Its title.
        version: The version of the fact that it was made for.
        closed_at: When its pull request was closed.
        is_archived: Whether only its compact row is left, so that nobody can have it done again.
    """

    task_id: str
    title: str
    version: str
    closed_at: datetime
    is_archived: bool = False


def issue_task_title(number: int, title: str) -> str:
    """Return the title of the task that resolves an issue, by which a new title of the issue is known later."""
    return one_line(f"{_beginning(number)}{title}", limit=_TITLE_CHARS)


def is_asked_again(
    signal: Signal, refusal: ClosedTask, rules: TrustRules, decision: SignalDecision | None = None
) -> bool:
    """Return whether somebody who may has asked for a fact since its pull request was closed.

    Args:
        signal: The fact as it is now.
        refusal: The newest task of it.
        rules: Of its repository.
        decision: What a person decided about it by command.
    """
    if decision is not None and decision.release and decision.at > refusal.closed_at:
        return True
    if isinstance(signal.details, ManualTask):
        return signal.version != refusal.version
    if not isinstance(signal.details, OpenIssue):
        rules = rules.model_copy(update={"issue_labels": ()})
    approvals = valid_approvals(signal.provenance or Provenance(), rules)
    return any(approval.at > refusal.closed_at for approval in approvals) or _has_new_title(signal, refusal)


def _has_new_title(signal: Signal, refusal: ClosedTask) -> bool:
    """Return whether an issue has another title than when its task was made. Tasks of other titles do not tell."""
    if not isinstance(signal.details, OpenIssue) or not refusal.title.startswith(_beginning(signal.details.number)):
        return False
    return refusal.title != issue_task_title(signal.details.number, signal.title)


def _beginning(number: int) -> str:
    return f"Resolve #{number}: "
