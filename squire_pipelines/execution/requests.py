"""Tasks that people ask for: they are made at once, and start as the settings of their repository let them.

What such a task says is `planning.request_spec` and `planning.requests`; its rows are `ledger.task_creation`.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice

from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.duplicates import KnownWork, open_pull_requests, resembling, text_of
from squire_pipelines.domain.plans import AdmissionRule, ApprovalRule
from squire_pipelines.domain.signals import ManualTask, OpenIssue, Signal
from squire_pipelines.domain.tasks import Risk, TaskSpec, fingerprint
from squire_pipelines.ledger import collections
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.refusals import asked_again
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_creation import (
    CreatedTask,
    RequestedTask,
    create_again,
    create_requested,
    marked_versions,
)
from squire_pipelines.ledger.tasks import get
from squire_pipelines.planning.requests import asked_by, requested_tasks
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.settings.model import Settings

MAX_RESEMBLED = 5
"""A person is told of so many works that a request resembles."""


def approval_rule(settings: Settings) -> ApprovalRule:
    """Return which tasks start without a person's approval, by the settings that hold in a repository."""
    planner = settings.planner
    return ApprovalRule(planner.approve == "auto", planner.min_confidence, Risk(planner.max_risk))


def admission_rule(settings: Settings) -> AdmissionRule:
    """Return how planned tasks come into the ledger, by the settings that hold in a repository."""
    return AdmissionRule(
        approval_rule(settings), settings.dispatch.max_attempts, branch_prefix=settings.publishing.branch_prefix
    )


def create_request(
    tx: Transaction, settings: Settings, request: RequestedTask, *, trace_id: str, hold: bool = False
) -> CreatedTask:
    """Create the task of a request; it is proposed where `hold` or the settings want a person to approve it.

    Args:
        tx: A transaction that writes.
        settings: Those that hold in its repository.
        request: What is asked for.
        trace_id: Of the command or delivery.
        hold: Whether it is to wait for `squire tasks start`.

    Raises:
        NotFoundError, RefusedError: See `create_requested`.
    """
    ready = not hold and approval_rule(settings).covers(request.spec)
    request = replace(request, branch_prefix=settings.publishing.branch_prefix)
    return create_requested(tx, request, ready=ready, max_attempts=settings.dispatch.max_attempts, trace_id=trace_id)


def resembled_by(tx: Transaction, settings: Settings, repository: str, spec: TaskSpec) -> tuple[KnownWork, ...]:
    """Return what a request says nearly the same as, at most `MAX_RESEMBLED`.

    Compared are the repository's tasks, those that ended within `planner.duplicate_days` too, and its open pull
    requests as they were read last. The request is made all the same: a person's word is final.
    """
    known = known_work(tx, repository, days=settings.planner.duplicate_days)
    pulls = open_pull_requests(collections.active_signals(tx, repository))
    return tuple(islice(resembling(text_of(spec), (*known, *pulls), base_branch=spec.base_branch), MAX_RESEMBLED))


def take_requests(tx: Transaction, settings: Settings, repository: str, *, trace_id: str) -> tuple[str, ...]:
    """Make tasks of the signals by which people ask for work, each fact as often as planned ones; return the new ids.

    Args:
        tx: A transaction that writes.
        settings: Those that hold in the repository.
        repository: `owner/name`.
        trace_id: Of the run that looks at the repository.
    """
    times = settings.planner.max_tasks_per_fact
    signals = collections.active_signals(tx, repository)
    rules = settings.trust_rules_for(repository)
    covered = covered_facts(tx, repository, signals, times=times, rules=rules)
    inputs = request_inputs(settings, repository, signals, covered, default_branch=DEFAULT_BRANCH)
    by_ref = {signal.ref: signal for signal in signals}
    versions = {ref: signal.version for ref, signal in by_ref.items()}
    marked = marked_versions(tx, repository, versions, times=times)
    labels = approving_labels(settings, repository)
    created = [
        create_request(
            tx,
            settings,
            RequestedTask(
                repository,
                spec,
                asked_by(by_ref[spec.signals[0]], labels),
                fingerprint=fingerprint(repository, spec, marked),
                versions={ref: versions[ref] for ref in spec.signals},
            ),
            trace_id=trace_id,
        )
        for spec in requested_tasks(inputs)
    ]
    created += _repeat_asked(tx, settings, repository, signals, trace_id=trace_id)
    return tuple(task.id for task in created if task.is_new)


def _repeat_asked(
    tx: Transaction, settings: Settings, repository: str, signals: Sequence[Signal], *, trace_id: str
) -> list[CreatedTask]:
    """Make tasks again of facts that have not changed since their pull request was closed, and are asked for anew.

    Of one that has changed, the usual way makes a new task.
    """
    rules = settings.trust_rules_for(repository)
    _, asked = asked_again(tx, repository, signals, rules)
    labels = approving_labels(settings, repository)
    return [
        repeat_task(tx, settings, asked[signal.ref].task_id, actor=_asked_by(signal, labels), trace_id=trace_id)
        for signal in signals
        if signal.ref in asked
        and signal.version == asked[signal.ref].version
        and signal.verdict is not None
        and signal.verdict.may_start
        and not asked[signal.ref].is_archived
    ]


def approving_labels(settings: Settings, repository: str) -> frozenset[str]:
    """Return the labels by which people ask for work, in one case."""
    names = (*settings.issue_labels_for(repository), settings.trust_for(repository).release_label)
    return frozenset(name.casefold() for name in names)


def _asked_by(signal: Signal, labels: frozenset[str]) -> str:
    return asked_by(signal, labels) if isinstance(signal.details, OpenIssue | ManualTask) else "release"


def repeat_task(
    tx: Transaction, settings: Settings, task_id: str, *, actor: str, place: str = "", trace_id: str
) -> CreatedTask:
    """Create the task that does again what one did whose pull request was closed. Raises NotFoundError."""
    ready = approval_rule(settings).covers(get(tx, task_id).spec)
    return create_again(
        tx,
        task_id,
        actor=actor,
        place=place,
        ready=ready,
        max_attempts=settings.dispatch.max_attempts,
        trace_id=trace_id,
        branch_prefix=settings.publishing.branch_prefix,
    )


def request_inputs(
    settings: Settings,
    repository: str,
    signals: Sequence[Signal],
    covered: Collection[str],
    *,
    default_branch: str | None,
) -> PlanInputs:
    """Return the signals of a repository, with what decides which of them are requests; see `PlanInputs`."""
    return PlanInputs(
        repository,
        signals,
        default_branch,
        settings.issue_labels_for(repository),
        covered,
        settings.planner.max_tasks,
        settings.filters_for(repository).rules,
        branch_prefix=settings.publishing.branch_prefix,
    )
