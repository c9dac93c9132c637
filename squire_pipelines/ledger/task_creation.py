"""New tasks: of an admitted plan, at most one for each fact, and of people's requests, each as it was given."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter

from pydantic import JsonValue
from sqlalchemy import insert, select, update

from squire_pipelines.domain.branches import OWN_BRANCHES
from squire_pipelines.domain.identity import branch_name, new_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.plans import AdmissionRule
from squire_pipelines.domain.signals import MANUAL_SOURCE, FurtherSource, SignalKind, Source
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import Plan, TaskSpec, TaskStatus, fingerprint
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import episodes, task_signals
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.dependencies import dependency_ended, refused_as
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import archived_tasks, signals, task_dependencies, tasks
from squire_pipelines.ledger.tables import task_signals as task_signals_table
from squire_pipelines.ledger.tasks import by_branch, cancel, get
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
    rule_of: Callable[[str], AdmissionRule],
    trace_id: str,
    max_tasks_per_fact: int = 1,
) -> tuple[str, ...]:
    """Create a plan's tasks, each fact at most once. Returns the new tasks' ids.

    A task whose fingerprint is known is not created again; others may still depend on it. A person's request
    (`manual_task`) is done with when a task of the plan answers it. With more than one task per fact, the fingerprint
    of a later one has the number of those that ended before it. `rule_of` gives the rules of a repository.
    """
    marked = marked_versions(tx, plan.repository, versions, times=max_tasks_per_fact)
    ids, archived = _repeated(tx, plan)
    created: dict[str, str] = {}
    for spec in plan.tasks:
        repository = spec.repository or plan.repository
        rule = rule_of(repository)
        spec_fingerprint = fingerprint(repository, spec, marked)
        known = find_by_fingerprint(tx, repository, spec_fingerprint)
        if known is not None:
            ids[spec.key] = known.id
            if known.archived_as is not None:
                archived[known.id] = known.archived_as
            continue
        # A millisecond apart: no two ids of a plan are the same, and they sort as the plan does.
        task_id = new_id("t", tx.now + timedelta(milliseconds=len(created)))
        ready = rule.approval.covers(spec)
        new_task = _NewTask(
            id=task_id,
            repository=repository,
            spec=spec,
            fingerprint=spec_fingerprint,
            branch=branch_name(task_id, spec.title, rule.branch_prefix),
            ready=ready,
            max_attempts=rule.max_attempts,
            trace_id=trace_id,
            plan_id=plan_id,
        )
        reason = "planned and approved by settings" if ready else "planned; waits for approval"
        _insert_task(tx, new_task, versions, actor=f"planner:{plan.planner}", reason=reason)
        ids[spec.key] = task_id
        created[spec.key] = task_id
    pairs = _dependencies(plan, ids, created)
    live = [{"task_id": task_id, "depends_on": other} for task_id, other in pairs if other not in archived]
    if live:
        tx.execute(insert(task_dependencies), live)
    for task_id, other in {pair[0]: pair[1] for pair in pairs if archived.get(pair[1], _DONE) is not _DONE}.items():
        cancel(tx, task_id, actor="dispatch", reason=dependency_ended(other, archived[other]))
    _close_requests(tx, plan.repository, (ref for spec in plan.tasks for ref in spec.signals), trace_id=trace_id)
    return tuple(created.values())


def made_before(tx: Transaction, plan: Plan, versions: Mapping[str, str], *, times: int) -> dict[str, str]:
    """Return those tasks of a plan of which no new one would be created, by key, with the task that stands for each.

    Args:
        tx: Reads.
        plan: Of one repository, or of several.
        versions: Of its signals, by ref.
        times: How many tasks may be made of one fact as it is.
    """
    marked = marked_versions(tx, plan.repository, versions, times=times)
    places = ((spec, spec.repository or plan.repository) for spec in plan.tasks)
    matches = {spec.key: find_by_fingerprint(tx, name, fingerprint(name, spec, marked)) for spec, name in places}
    return {key: match.id for key, match in matches.items() if match is not None}


def marked_versions(tx: Transaction, repository: str, versions: Mapping[str, str], *, times: int) -> dict[str, str]:
    """Return the versions of signals, with the number of tasks that ended before where more than one may be made."""
    earlier = task_signals.rounds(tx, repository, versions, times=times)
    return {ref: f"{version}#{earlier[ref]}" if ref in earlier else version for ref, version in versions.items()}


def _repeated(tx: Transaction, plan: Plan) -> tuple[dict[str, str], dict[str, TaskStatus]]:
    """Return the tasks that stand for those which the plan left out, by key, and how those in the archive ended."""
    ids = {omission.key: omission.task_id for omission in plan.left_out if omission.task_id is not None}
    live = set(tx.execute(select(tasks.c.id).where(tasks.c.id.in_(ids.values()))).scalars())
    rows = tx.execute(select(archived_tasks.c.id, archived_tasks.c.status).where(archived_tasks.c.id.in_(ids.values())))
    archived = {row.id: TaskStatus(row.status) for row in rows if row.id not in live}
    return {key: task_id for key, task_id in ids.items() if task_id in live or task_id in archived}, archived


@dataclass(frozen=True, slots=True)
class RequestedTask:
    """A task as a person asked for it.

    Args:
        repository: `owner/name`.
        spec: What is to be done; its `depends_on` names tasks of a plan, and is not read.
        actor: Who asked, for the task's history: `cli:ann`, `github:ann`.
        fingerprint: What makes another request the same one, which then makes no second task; None where each request
            is one of its own.
        versions: The version of each of the spec's signals.
        branch: The task's branch; None for one that is made of its id and title.
        branch_prefix: What such a one begins with.
        depends_on: Ids of the tasks that it waits for.
        place: The page where it was asked for; empty at a terminal.
        template: What names the template that its text is from, and that one's version; empty without one.
        schedule_id: The schedule whose time has come; None for a task that is asked for now.
    """

    repository: str
    spec: TaskSpec
    actor: str
    fingerprint: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    branch_prefix: str = OWN_BRANCHES
    depends_on: tuple[str, ...] = ()
    place: str = ""
    template: str = ""
    schedule_id: str | None = None


@dataclass(frozen=True, slots=True)
class CreatedTask:
    """A request's task; `is_new` is False where the same request has made it before."""

    id: str
    is_new: bool


def create_requested(
    tx: Transaction, request: RequestedTask, *, ready: bool, max_attempts: int, trace_id: str
) -> CreatedTask:
    """Create the task of a person's request, once for each fingerprint.

    Args:
        tx: A transaction that writes.
        request: What is asked for.
        ready: Whether it may start; otherwise it is proposed and waits for a person.
        max_attempts: How often it is tried.
        trace_id: Of the command or delivery.

    Raises:
        NotFoundError: It depends on a task that is not there.
        RefusedError: It depends on one that has failed or was cancelled, or whose pull request was closed or reverted,
            or another task has its branch.
    """
    tx.exclusive("admit")
    task_id = new_id("t", tx.now)
    task_fingerprint = request.fingerprint or hashlib.sha256(task_id.encode()).hexdigest()[:32]
    if (known := find_by_fingerprint(tx, request.repository, task_fingerprint)) is not None:
        return CreatedTask(known.id, is_new=False)
    depends_on = _live_dependencies(tx, request.depends_on)
    if request.branch is not None and (other := by_branch(tx, request.repository, request.branch)) is not None:
        raise RefusedError(
            f"the branch {request.branch} of {request.repository} is that of the task {other.id}",
            hint=f"name another branch, or ask for more work on it with `squire tasks followup {other.id}`",
        )
    new_task = _NewTask(
        id=task_id,
        repository=request.repository,
        spec=request.spec,
        fingerprint=task_fingerprint,
        branch=request.branch or branch_name(task_id, request.spec.title, request.branch_prefix),
        ready=ready,
        max_attempts=max_attempts,
        trace_id=trace_id,
        schedule_id=request.schedule_id,
    )
    reason = f"asked for in {request.place}" if request.place else "asked for"
    reason += f" by the template {request.template}" if request.template else ""
    reason += "" if ready else "; waits for approval"
    _insert_task(tx, new_task, request.versions, actor=request.actor, reason=reason)
    if depends_on:
        tx.execute(insert(task_dependencies), [{"task_id": task_id, "depends_on": other} for other in depends_on])
    _close_requests(tx, request.repository, request.spec.signals, trace_id=trace_id)
    detail: dict[str, JsonValue] = {"repository": request.repository, "ready": ready}
    if request.template:
        detail["template"] = request.template
    if request.schedule_id is not None:
        detail["schedule"] = request.schedule_id
    record_audit(tx, actor=request.actor, action="tasks.new", subject=task_id, detail=detail, trace_id=trace_id)
    return CreatedTask(task_id, is_new=True)


def create_again(
    tx: Transaction,
    task_id: str,
    *,
    actor: str,
    place: str = "",
    ready: bool,
    max_attempts: int,
    trace_id: str,
    branch_prefix: str = OWN_BRANCHES,
) -> CreatedTask:
    """Create the task that does again what one did whose pull request was closed: once, however often somebody asks.

    It has a branch and a pull request of its own; for its facts it is the newest task. See `create_requested`.

    Raises:
        NotFoundError: There is no such task.
    """
    task = get(tx, task_id)
    rows = tx.execute(select(task_signals_table).where(task_signals_table.c.task_id == task_id))
    request = RequestedTask(
        task.repository,
        task.spec,
        actor,
        fingerprint=hashlib.sha256(f"again\n{task_id}".encode()).hexdigest()[:32],
        versions={f"{row.kind}:{row.key}": row.version for row in rows},
        branch_prefix=branch_prefix,
        place=place,
        schedule_id=task.schedule_id,
    )
    return create_requested(tx, request, ready=ready, max_attempts=max_attempts, trace_id=trace_id)


def _live_dependencies(tx: Transaction, ids: Iterable[str]) -> list[str]:
    """Return the tasks to wait for: one that is archived and succeeded is over, and nothing waits for it.

    Raises:
        NotFoundError: There is no such task.
        RefusedError: One will not succeed by itself, or its pull request was closed or reverted.
    """
    live = []
    for task_id in dict.fromkeys(ids):
        archived = tx.execute(select(archived_tasks).where(archived_tasks.c.id == task_id)).one_or_none()
        status = TaskStatus(archived.status) if archived is not None else get(tx, task_id).status
        if status in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
            again = f"let it run again with `squire tasks retry {task_id}`, or " if archived is None else ""
            raise RefusedError(
                f"the task {task_id} is {status}: what depends on it would be cancelled",
                hint=f"{again}leave out the dependency",
            )
        state = archived.outcome if archived is not None else refused_as(tx, task_id) if status is _DONE else None
        if state in {PullRequestState.CLOSED, PullRequestState.REVERTED}:
            raise RefusedError(
                f"the pull request of the task {task_id} was {state}: what depends on it would be cancelled",
                hint="name the task that does it again, or leave out the dependency",
            )
        if archived is None:
            live.append(task_id)
    return live


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewTask:
    """What the row of a new task is made of."""

    id: str
    repository: str
    spec: TaskSpec
    fingerprint: str
    branch: str
    ready: bool
    max_attempts: int
    trace_id: str
    plan_id: str | None = None
    schedule_id: str | None = None


def _insert_task(tx: Transaction, task: _NewTask, versions: Mapping[str, str], *, actor: str, reason: str) -> None:
    """Insert a task with the first event of its history, and record for which signals it was made."""
    spec = task.spec
    status = TaskStatus.READY if task.ready else TaskStatus.PROPOSED
    row = {
        "id": task.id,
        "repository": task.repository,
        "status": status,
        "kind": spec.kind,
        "title": spec.title,
        "priority": int(spec.priority),
        "fingerprint": task.fingerprint,
        "spec": spec.model_dump(mode="json"),
        "branch": task.branch,
        "base_branch": spec.base_branch,
        "plan_id": task.plan_id,
        "schedule_id": task.schedule_id,
        "max_attempts": task.max_attempts,
        "trace_id": task.trace_id,
        "created_at": tx.now,
        "ready_at": tx.now if task.ready else None,
        "updated_at": tx.now,
    }
    tx.execute(insert(tasks).values(row))
    event = EventContext(task_id=task.id, actor=actor, reason=reason, trace_id=task.trace_id)
    record_event(tx, EventSubject.TASK, None, status, event)
    task_signals.record(tx, task.repository, task.id, {ref: versions.get(ref, "") for ref in spec.signals})


def _close_requests(tx: Transaction, repository: str, refs: Iterable[str], *, trace_id: str) -> None:
    """End the requests among these signals, which a task answers now; those of a file last as long as it has them."""
    keys = {ref.removeprefix(_MANUAL_PREFIX) for ref in refs if ref.startswith(_MANUAL_PREFIX)}
    requests = {key for key in keys if not key.startswith(_TASK_FILES)}
    if not requests:
        return
    tx.execute(
        update(signals)
        .where(
            signals.c.repository == repository,
            signals.c.kind == SignalKind.MANUAL_TASK,
            signals.c.key.in_(requests),
        )
        .values(gone_at=tx.now, updated_at=tx.now)
    )
    episodes.close(tx, repository, SignalKind.MANUAL_TASK, requests, trace_id=trace_id)


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
