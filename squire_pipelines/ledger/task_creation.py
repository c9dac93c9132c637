"""New tasks, made from an admitted plan: at most one for each fact."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter

from sqlalchemy import insert, select, update

from squire_pipelines.domain.identity import branch_name, new_id
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.signals import MANUAL_SOURCE, FurtherSource, SignalKind, Source
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import Plan, TaskStatus, fingerprint
from squire_pipelines.ledger import episodes, task_signals
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import archived_tasks, signals, task_dependencies, tasks
from squire_pipelines.ledger.tasks import DEPENDENCY_FAILED, cancel
from squire_pipelines.ledger.transitions import EventContext, record_event

_MANUAL_PREFIX = f"{SignalKind.MANUAL_TASK}:"
_TASK_FILES = (FurtherSource(MANUAL_SOURCE).key_prefix, Source.REPOSITORY_TASKS.key_prefix)
_DONE = TaskStatus.SUCCEEDED


def create_from_plan(
    tx: Transaction,
    plan: Plan,
    *,
    plan_id: str,
    versions: Mapping[str, str],
    approval: ApprovalRule,
    max_attempts: int,
    trace_id: str,
    max_tasks_per_fact: int = 1,
) -> tuple[str, ...]:
    """Create a plan's tasks, each fact at most once. Returns the new tasks' ids.

    A task whose fingerprint is known is not created again; others may still depend on it. A person's request
    (`manual_task`) is done with when a task of the plan answers it. With more than one task per fact, the fingerprint
    of a later one has the number of those that ended before it.
    """
    earlier = task_signals.rounds(tx, plan.repository, versions, times=max_tasks_per_fact)
    marked = {ref: f"{version}#{earlier[ref]}" if ref in earlier else version for ref, version in versions.items()}
    ids: dict[str, str] = {}
    created: dict[str, str] = {}
    archived: dict[str, TaskStatus] = {}
    for spec in plan.tasks:
        spec_fingerprint = fingerprint(plan.repository, spec, marked)
        known = find_by_fingerprint(tx, plan.repository, spec_fingerprint)
        if known is not None:
            ids[spec.key] = known.id
            if known.archived_as is not None:
                archived[known.id] = known.archived_as
            continue
        # A millisecond apart: no two ids of a plan are the same, and they sort as the plan does.
        task_id = new_id("t", tx.now + timedelta(milliseconds=len(created)))
        ready = approval.covers(spec)
        status = TaskStatus.READY if ready else TaskStatus.PROPOSED
        row = {
            "id": task_id,
            "repository": plan.repository,
            "status": status,
            "kind": spec.kind,
            "title": spec.title,
            "priority": int(spec.priority),
            "fingerprint": spec_fingerprint,
            "spec": spec.model_dump(mode="json"),
            "branch": branch_name(task_id, spec.title),
            "base_branch": spec.base_branch,
            "plan_id": plan_id,
            "max_attempts": max_attempts,
            "trace_id": trace_id,
            "created_at": tx.now,
            "ready_at": tx.now if ready else None,
            "updated_at": tx.now,
        }
        tx.execute(insert(tasks).values(row))
        event = EventContext(
            task_id=task_id,
            actor=f"planner:{plan.planner}",
            reason="planned and approved by settings" if ready else "planned; waits for approval",
            trace_id=trace_id,
        )
        record_event(tx, EventSubject.TASK, None, status, event)
        task_signals.record(tx, plan.repository, task_id, {ref: versions.get(ref, "") for ref in spec.signals})
        ids[spec.key] = task_id
        created[spec.key] = task_id
    pairs = _dependencies(plan, ids, created)
    live = [{"task_id": task_id, "depends_on": other} for task_id, other in pairs if other not in archived]
    if live:
        tx.execute(insert(task_dependencies), live)
    for task_id in dict.fromkeys(task_id for task_id, other in pairs if archived.get(other, _DONE) is not _DONE):
        cancel(tx, task_id, actor="dispatch", reason=DEPENDENCY_FAILED)
    keys = {ref.partition(":")[2] for spec in plan.tasks for ref in spec.signals if ref.startswith(_MANUAL_PREFIX)}
    requests = {key for key in keys if not key.startswith(_TASK_FILES)}  # those of a file last as long as it has them
    if requests:
        tx.execute(
            update(signals)
            .where(
                signals.c.repository == plan.repository,
                signals.c.kind == SignalKind.MANUAL_TASK,
                signals.c.key.in_(requests),
            )
            .values(gone_at=tx.now, updated_at=tx.now)
        )
        episodes.close(tx, plan.repository, SignalKind.MANUAL_TASK, requests, trace_id=trace_id)
    return tuple(created.values())


@dataclass(frozen=True, slots=True)
class FingerprintMatch:
    """The task that answers a fact already; `archived_as` is how it ended when only its compact row is left."""

    id: str
    archived_as: TaskStatus | None


def find_by_fingerprint(tx: Transaction, repository: str, fingerprint: str) -> FingerprintMatch | None:
    """Return the task with this fingerprint, also an archived one: a fact makes one task, however long ago."""
    live = select(tasks.c.id).where(tasks.c.repository == repository, tasks.c.fingerprint == fingerprint)
    if (task_id := tx.execute(live).scalar_one_or_none()) is not None:
        return FingerprintMatch(task_id, None)
    archived = select(archived_tasks.c.id, archived_tasks.c.status).where(
        archived_tasks.c.repository == repository, archived_tasks.c.fingerprint == fingerprint
    )
    row = tx.execute(archived).one_or_none()
    return None if row is None else FingerprintMatch(row.id, TaskStatus(row.status))


def _dependencies(plan: Plan, ids: Mapping[str, str], created: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs (task, task that it waits for) of the new tasks, without a cycle.

    The plan's own dependencies have none, but two keys of it may name one task, since they answer the same facts.
    """
    graph: dict[str, set[str]] = {}
    pairs: list[tuple[str, str]] = []
    keys = [(spec.key, key) for spec in plan.tasks if spec.key in created for key in dict.fromkeys(spec.depends_on)]
    for key, other in sorted(keys, key=lambda pair: pair[1] not in created):  # dependencies on new tasks first
        if other not in ids or ids[other] in graph.setdefault(ids[key], set()):
            continue
        graph[ids[key]].add(ids[other])
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            graph[ids[key]].remove(ids[other])
        else:
            pairs.append((ids[key], ids[other]))
    return tuple(pairs)
