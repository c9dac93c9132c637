"""Which protected paths a task may ask for, whoever plans it. Pure.

A request never approves a change: a person then decides on it. It follows from what a collaborator did (a failed check,
a label, a manual task) and never from a text, which a stranger may have written, nor from a model's answer.
"""

from collections.abc import Iterable

from squire_pipelines.domain.policy import WORKFLOWS
from squire_pipelines.domain.protected import BUILD_FILES, LOCK_FILES
from squire_pipelines.domain.signals import Details, FailedCheck, ManualTask, OpenIssue
from squire_pipelines.domain.tasks import TaskKind

DEPENDENCY_LABELS = frozenset({"dependencies", "dependency"})


def requestable(kind: TaskKind, details: Iterable[Details]) -> tuple[str, ...]:
    """Return the protected paths that a task of this kind, which answers these facts, asks for by name.

    A failed check: workflows, lock files, Dockerfiles. An issue with the label `dependencies`: lock files. A manual
    task: what its author named.
    """
    paths: dict[str, None] = {}
    for fact in details:
        match fact:
            case FailedCheck() if kind is TaskKind.FIX_CI:
                paths |= dict.fromkeys((*WORKFLOWS, *LOCK_FILES, *BUILD_FILES))
            case OpenIssue() if DEPENDENCY_LABELS & {label.casefold() for label in fact.labels}:
                paths |= dict.fromkeys(LOCK_FILES)
            case ManualTask():
                paths |= dict.fromkeys(fact.allow_protected)
            case _:
                pass
    return tuple(paths)
