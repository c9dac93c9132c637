"""Which signals are people's requests, and the tasks that they become, with no planner in between. Pure.

A label that chooses an issue, a release and a task file are orders of somebody who may give them: what authority holds
is left out, as everywhere. What is asked for at a terminal or in a comment is no signal: see `request_spec`.
"""

from squire_pipelines.domain.authority import ActorKind
from squire_pipelines.domain.requests import FILE_ACTOR, github_actor
from squire_pipelines.domain.signals import ManualTask, OpenIssue, Signal, is_from_file
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.planning.rules import tasks_of
from squire_pipelines.planning.selection import PlanInputs, select


def requested_tasks(inputs: PlanInputs) -> tuple[TaskSpec, ...]:
    """Return a task for each signal by which a person asks for work, the most urgent first, whatever their number."""
    candidates = select(inputs).candidates
    return tasks_of(one for one in candidates if isinstance(one.signal.details, OpenIssue | ManualTask))


def asked_by(signal: Signal, labels: frozenset[str]) -> str:
    """Return who asked for work by this signal, as a task's history names people.

    Of an issue, who set the newest of `labels` (in one case) if that was a person, else its author.
    """
    match signal.details:
        case ManualTask(author=author):
            return f"{FILE_ACTOR if is_from_file(signal) else 'cli:'}{author}"
        case OpenIssue(author=author):
            approvals = signal.provenance.approvals if signal.provenance else ()
            by_people = [
                (approval.at, approval.by.login)
                for approval in approvals
                if approval.by is not None
                and approval.by.kind is ActorKind.PERSON
                and approval.label.casefold() in labels
            ]
            return github_actor(max(by_people)[1] if by_people else author)
        case _:
            raise ValueError(f"{signal.ref} is no request")
